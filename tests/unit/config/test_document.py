import pytest

from eventer.config.document import Document, dotted, syntax_excerpt


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("a", "b-c", "d_1"), "a.b-c.d_1"),
        (("a", 0, "b", 1), "a[0].b[1]"),
        (("a", "b.c", ""), 'a."b.c".""'),
        (("a", "x\x1b[31m"), 'a."x\\x1b[31m"'),
    ],
)
def test_a_path_is_written_as_in_the_documentation(path, text):
    assert dotted(path) == text


def node_at(document, *path):
    return document.locate(document.root, path)


def test_an_excerpt_shows_only_what_was_spoken_of():
    document = Document("f", "a: {b: shown, c: hidden, d: [hidden, 'hidden']} # hidden\n")
    document.show(node_at(document, "a", "b"), visible=True)
    assert document.excerpt(1) == "a: {b: shown, c: …, d: […, …]}"


def test_what_is_secret_once_stays_hidden():
    document = Document("f", "a: &x value\nb: *x\n")
    node = node_at(document, "a")
    document.show(node, visible=False)
    document.show(node, visible=True)
    assert document.excerpt(1) == "a: …"


@pytest.mark.parametrize(
    "style", ["|\n  first\n  second", ">\n  first\n  second", "'first\n  second'", "first\n  second"]
)
def test_no_line_of_a_long_value_is_shown(style):
    document = Document("f", f"a: {style}\nb: c\n")
    for line in range(5):
        assert "first" not in document.excerpt(line)
        assert "second" not in document.excerpt(line)


@pytest.mark.parametrize("text", ["a: b\na: hidden\n", "? [hidden]\n: hidden\n", "{? {a: hidden} : hidden}\n"])
def test_what_a_fault_leaves_out_is_not_shown(text):
    document = Document("f", text)
    assert document.faults
    assert "hidden" not in document.excerpt(1) + document.excerpt(2)


def test_an_excerpt_cannot_move_the_terminal():
    document = Document("f", 'a: "\\e[31m \u202e"\n')
    document.show(node_at(document, "a"), visible=True)
    assert document.excerpt(1).isprintable()


def test_lines_that_are_not_there_have_no_excerpt():
    document = Document("f", "a: b\n")
    assert document.excerpt(0) == document.excerpt(2) == ""
    assert syntax_excerpt("a: b", 0) == syntax_excerpt("a: b", 2) == ""


@pytest.mark.parametrize(
    ("line", "shown"),
    [("  - a_b: 'x", "  - a_b: …"), ("x y", ""), ("  eyJhbGciOi.x:y", ""), ("", "")],
)
def test_the_excerpt_of_what_is_no_yaml_shows_its_key_only(line, shown):
    assert syntax_excerpt(line, 1) == shown


def test_a_path_is_followed_as_far_as_it_goes():
    document = Document("f", "a: [{b: c}]\n")
    assert node_at(document, "a", 0, "b").value == "c"
    assert node_at(document, "a", 0, "x", "y") is node_at(document, "a", 0)
    assert node_at(document, "a", 5) is node_at(document, "a")
