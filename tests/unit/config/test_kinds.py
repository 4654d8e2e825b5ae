import importlib.metadata

import pytest

from eventer.config.kinds import KindError, options_of
from eventer.sink import SinkConfig

pytestmark = pytest.mark.usefixtures("fake_kinds")


def test_a_kind_gives_the_type_of_its_options():
    options = options_of("fake")
    assert issubclass(options, SinkConfig)
    assert options.__module__ == "sinks.fake"


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Make this look like an installation of Eventer that has one extra."""

    def installed(requirement):
        info = tmp_path / "eventer-9.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: eventer\nVersion: 9\nRequires-Dist: {requirement}\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        assert importlib.metadata.version("eventer") == "9"

    return installed


def test_a_library_that_the_sink_imports_later_is_missed_at_once(installed):
    installed('no-such-library>=1; extra == "fake"')
    with pytest.raises(KindError) as caught:
        options_of("fake")
    assert caught.value.message == "the sink fake needs no-such-library, which is not installed"
    assert caught.value.remedy == 'pip install "eventer[fake]"'


@pytest.mark.parametrize(
    "requirement", ['pytest>=1; extra == "fake"', 'no-such-library; extra == "other"', "no-such-library"]
)
def test_libraries_that_are_there_or_of_other_sinks_are_not_missed(installed, requirement):
    installed(requirement)
    assert options_of("fake")
