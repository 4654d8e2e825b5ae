"""Who we are, for Elasticsearch and OpenSearch: beside what every sink over HTTP knows, keys and AWS signatures.

An API key is a header with a scheme of its own. Amazon's services want each request signed with the
credentials of a role, which change by the hour and come from a dozen places: that is botocore's trade
(Apache-2.0, 24 MB, an extra), for the credentials and for the signature.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from eventer.errors import Blocked, Retry
from eventer.values import Secret
from sinks._auth import AuthConfig, BasicConfig

__all__ = ["AwsConfig", "SearchAuthConfig", "Signer", "plain"]


class AwsConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Signatures for Amazon OpenSearch Service (AWS Signature Version 4).

    The credentials are found as AWS' own tools find them: variables, a web identity (IRSA), EKS Pod
    Identity, a profile, the role of the machine.
    """

    region: Annotated[str, Meta(examples=["eu-central-1"])]
    """Region of the domain or collection, such as eu-central-1."""
    service: Literal["es", "aoss"] = "es"
    """`es` for a domain, `aoss` for a collection of OpenSearch Serverless."""
    profile: str | None = None
    """Profile of the shared AWS configuration, if not the default one."""


class SearchAuthConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who we are. Secrets are read again for every request, so that they can rotate."""

    basic: BasicConfig | None = None
    """User name and password."""
    api_key: Secret | None = None
    """API key: what Elasticsearch calls `encoded`, or id and key with a colon between them."""
    bearer: Secret | None = None
    """Token, sent as `Authorization: Bearer ...`."""
    aws: AwsConfig | None = None
    """Sign each request for AWS; needs `pip install 'eventer[aws]'`."""

    def __post_init__(self) -> None:
        """Check that one of the four is there.

        Raises:
            ValueError: with the remedy.
        """
        if [self.basic, self.api_key, self.bearer, self.aws].count(None) != 3:
            raise ValueError(
                "auth takes one of basic, api_key, bearer and aws; write for example `auth: {api_key: ${API_KEY}}`"
            )


def plain(auth: SearchAuthConfig | None) -> AuthConfig | None:
    """Return the part that is a fixed header, as `sinks._http` takes it; None without one."""
    if auth is None or auth.aws is not None:
        return None
    key = auth.api_key
    if key is None:
        return AuthConfig(basic=auth.basic, bearer=auth.bearer)
    return AuthConfig(header="Authorization", value=Secret(lambda: _scheme(key.reveal()), key.source))


def _scheme(key: str) -> str:
    """Write an API key as a header; an empty one stays empty, which is told."""
    if ":" in key:
        key = base64.b64encode(key.encode()).decode()
    return f"ApiKey {key}" if key else ""


class Signer:
    """Signs requests for AWS. `open` it first."""

    def __init__(self, config: AwsConfig) -> None:
        self._config = config
        self._credentials: Any = None

    async def open(self) -> None:
        """Import the library and look for credentials.

        Raises:
            Blocked: the library is not installed, or there are no credentials.
        """
        if self._credentials is None:
            self._credentials = await asyncio.to_thread(self._find)

    async def sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return the headers of a request, with its signature.

        Args:
            method: GET, POST, ...
            url: its query percent-encoded, but for letters, digits and `-_.~`, for the signature covers it so.
            headers: those to be signed.
            body: as it will be sent.

        Raises:
            Retry: the credentials could not be renewed.
        """
        # In a thread: to renew the credentials the library asks a service of AWS, and waits.
        return await asyncio.to_thread(self._sign, method, url, headers, body)

    def _find(self) -> Any:
        try:
            import botocore.session
            from botocore.exceptions import BotoCoreError
        except ImportError:
            raise Blocked(
                "auth.aws needs the library botocore; install it with: pip install 'eventer[aws]'", reason="library"
            ) from None
        logging.getLogger("botocore").setLevel(logging.WARNING)  # it logs what it signs
        # Messages of the library name files and roles; they are not ours to show.
        try:
            found = botocore.session.Session(profile=self._config.profile).get_credentials()
        except BotoCoreError as error:
            raise Blocked(f"The AWS credentials cannot be used: {type(error).__name__}.", reason="secret") from None
        if found is None:
            raise Blocked(
                "There are no AWS credentials: no variables, web identity, profile or role of the machine.",
                reason="secret",
            )
        return found

    def _sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        try:
            frozen = self._credentials.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - from several libraries, and never to be shown
            raise Retry(f"The AWS credentials could not be renewed: {type(error).__name__}.", reason="secret") from None
        request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
        if self._config.service == "aoss":
            # https://docs.aws.amazon.com/opensearch-service/latest/developerguide/serverless-clients.html
            request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()
        SigV4Auth(frozen, self._config.service, self._config.region).add_auth(request)
        return dict(request.headers.items())
