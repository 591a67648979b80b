"""Write what the form holds, and only over the version that the form was filled from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from admin_ui.audit import AuditLog
from admin_ui.auth import User
from admin_ui.errors import ConflictError, JobNotFoundError, ValidationError
from admin_ui.job_files import JobFile
from admin_ui.job_management_service import JobManagementService
from admin_ui.model import JobConfig
from admin_ui.page import fields
from admin_ui.schema import problems

LONGEST_TOLD = 1000


def save(
    service: JobManagementService,
    audit: AuditLog,
    user: User,
    form: fields.Form,
    version: str,
    *,
    drop_unknown: bool = False,
) -> JobFile:
    """Return the file as it is then. It is a new one if `version`, the sha256 that the form came from, is empty.

    `drop_unknown` removes the keys that no definition has. Where nothing changed, nothing is written.
    Raises ValidationError with a message for each wrong field, JobAlreadyExistsError, ConflictError, StorageError;
    then nothing was written, either.
    """
    current = _current(service, form["name"], version) if version else None
    found = (current and current.document) or {}
    base = fields.without_unknown(found) if drop_unknown else found
    document, errors = fields.read(form, base)
    errors = problems(fields.merged(document, base)) | errors
    if errors:
        raise ValidationError(errors)
    changed = differences(base, document)
    dropped = fields.unknown(found) if drop_unknown else []
    if current is not None and not (changed or dropped):
        return current
    config = JobConfig.from_document(document)
    action = "create_job" if current is None else "update_job"
    # Only the names: what stands under a misspelt key may be a secret, too.
    details = {"changed": changed} | ({"dropped": dropped} if dropped else {})
    with audit.change(user, action, config.name, details):
        if current is None:
            return service.create_job(config)
        remove = [*fields.removed(document, base), *dropped]
        return service.update_job(config.name, config, expected_sha256=version, remove=remove)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what of the form's part changes, by field. Of the environment only the names: values may be secrets."""
    return {
        key: {"old": _told(key, old.get(key)), "new": _told(key, new.get(key))}
        for key in fields.TOP
        if (key in old) != (key in new) or repr(old.get(key)) != repr(new.get(key))  # 1 is not True
    }


def _current(service: JobManagementService, job_name: str, version: str) -> JobFile:
    """Return the file, which must be the one that the form was filled from: its texts are compared with that."""
    try:
        file = service.get_job(job_name)
    except JobNotFoundError:
        raise ConflictError(f"{job_name}.json", None, None) from None
    if file.sha256 != version:
        raise ConflictError(file.file, file.text, file.sha256)
    return file


def _told(key: str, value: Any) -> Any:
    if key == "environment":
        return sorted(value) if isinstance(value, Mapping) else None
    return f"{value[:LONGEST_TOLD]}…" if isinstance(value, str) and len(value) > LONGEST_TOLD else value
