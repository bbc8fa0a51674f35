"""Signatures over manifests, by OpenSSF model-signing with elliptic-curve keys; no network is needed.

A manifest lists every file of its release with size and sha256, and its own name and version, so it covers all of it.
Source: https://github.com/sigstore/model-transparency, "Signing with public keys".
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from targets.errors import first_line
from targets.installing import install_command
from zoo.errors import RegistryError

logger = logging.getLogger(__name__)
PASSWORD = "ZOO_KEY_PASSWORD"  # environment variable with the private key's password, if it has one
LIMIT = 2**20  # bytes; more than any signature needs


def _library() -> ModuleType:
    try:
        import model_signing
        import model_signing.signing
        import model_signing.verifying
    except ModuleNotFoundError:
        raise RegistryError(f"signatures need model-signing. Run: {install_command('sign')}") from None
    return model_signing


def _password() -> bytes | None:
    """The library's type hint says text, but it passes the password to a function that takes bytes."""
    return os.environ.get(PASSWORD, "").encode() or None


def _public_sha256(pem: bytes, private: bool) -> str:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
        load_pem_public_key,
    )

    key = load_pem_private_key(pem, _password()) if private else load_pem_public_key(pem)
    public = key.public_key() if private else key  # type: ignore[union-attr]
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()  # type: ignore[union-attr]


def key_id(path: Path, private: bool = False) -> str:
    """sha256 of a public key (DER), or of the public half of a private one.

    Raises:
        RegistryError: it is not a readable key.
    """
    _library()
    try:
        return _public_sha256(path.read_bytes(), private)
    except OSError as error:
        raise RegistryError(f"can't read the key {path}: {error.strerror}. Name a file in PEM.") from None
    except (ValueError, TypeError) as error:
        kind = "private" if private else "public"
        raise RegistryError(
            f"{path} is not a readable {kind} key (PEM): {first_line(error)}. Set its password in {PASSWORD}."
        ) from None


def sign(manifest: bytes, key: Path) -> bytes:
    """Sign a manifest with a private key in PEM; return a Sigstore bundle (JSON).

    Raises:
        RegistryError: the key can't be used.
    """
    library = _library()
    key_id(key, private=True)
    with TemporaryDirectory() as scratch:
        logger.debug("signing with %s in %s", key, scratch)
        file, out = Path(scratch, "manifest.json"), Path(scratch, "manifest.json.sig")
        file.write_bytes(manifest)
        config = library.signing.Config()
        try:
            config.use_elliptic_key_signer(private_key=key, password=_password()).sign(file, out)
        except (ValueError, TypeError) as error:
            raise RegistryError(
                f"can't sign with {key}: {first_line(error)}. Use an elliptic-curve key, such as P-256."
            ) from None
        return out.read_bytes()


def verify(manifest: bytes, signature: bytes, key: Path) -> str | None:
    """Verify a signature with a public key: None if it is valid, otherwise the reason.

    Raises:
        RegistryError: the key can't be used.
    """
    library = _library()
    key_id(key)
    with TemporaryDirectory() as scratch:
        logger.debug("verifying a signature under %s in %s", key, scratch)
        file, signed = Path(scratch, "manifest.json"), Path(scratch, "manifest.json.sig")
        file.write_bytes(manifest)
        signed.write_bytes(signature)
        try:
            library.verifying.Config().use_elliptic_key_verifier(public_key=key).verify(file, signed)
        except Exception as error:  # noqa: BLE001 - untrusted input may fail in any way, and is then invalid
            return first_line(error)
    return None


def check_signatures(
    label: str, manifest: bytes, signatures: Sequence[tuple[str, bytes]], keys: Sequence[Path], required: bool
) -> list[Path]:
    """Keys with a valid signature.

    Args:
        label: name@version, for errors.
        signatures: each with the id of its key.
        keys: trusted public keys.
        required: whether a valid signature is required.

    Raises:
        RegistryError: a trusted key's signature is invalid, or none is valid and one is required.
    """
    if required and not keys:
        raise RegistryError("signatures are required, but no key is trusted. Set registry: {keys: [FILE]} in zoo.yaml.")
    good = []
    for key in keys:
        mine = [content for name, content in signatures if name == key_id(key)]
        why = [verify(manifest, content, key) for content in mine]
        if None in why:
            good.append(key)
        elif why:
            raise RegistryError(
                f"the signature of {label} is invalid for {key.name}: {why[0]}. The manifest or the signature was "
                "changed; nothing was pulled."
            )
    if required and not good:
        who = ", ".join(key.name for key in keys)
        what = "not signed by a trusted key" if signatures else "not signed"
        raise RegistryError(f"{label} is {what} (trusted: {who}), but signatures are required. Refused.")
    return good
