"""`validate`: every problem of every file, by field."""

import json

from sidecar.cli import main
from tests.log_lines import put


def test_validate_is_content_with_valid_files(sidecar, jobs):
    put(jobs, "one")
    put(jobs, "two")

    assert sidecar("validate") == (0, "2 job files, no problems\n", "")


def test_validate_tells_every_problem_of_every_file_by_field(sidecar, jobs):
    put(jobs, "good")
    put(jobs, "backup", schedule="0 2 * *", enabled="yes", tiemout_seconds=5)
    put(jobs, "other", command="")
    code, out, _ = sidecar("validate")
    starts = sorted(": ".join(each.split(": ")[:2]) for each in out.splitlines())

    assert code == 1
    assert starts == [
        "backup.json: enabled",
        "backup.json: schedule",
        "backup.json: tiemout_seconds",
        "other.json: command",
    ]
    assert "found 4" in out
    assert "did you mean timeout_seconds?" in out


def test_validate_finds_two_files_with_one_name(sidecar, jobs):
    put(jobs, "same", "a.json")
    put(jobs, "same", "b.json")
    code, out, _ = sidecar("validate")

    assert code == 1
    assert out.startswith("b.json: name: ")
    assert "a.json" in out


def test_validate_takes_one_name_in_two_folders_as_two_jobs(sidecar, jobs, tmp_path):
    (tmp_path / "other").mkdir()

    assert sidecar("validate", put(jobs, "same"), put(tmp_path / "other", "same"))[0] == 0


def test_validate_names_a_missing_path(sidecar, tmp_path):
    code, out, err = sidecar("validate", tmp_path / "nowhere.json")

    assert code == 1
    assert "nowhere.json" in out + err


def test_validate_names_a_missing_jobs_directory(tmp_path, capsys):
    assert main(["validate", "--jobs", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_validate_calls_files_as_the_caller_did(sidecar, jobs, tmp_path):
    path = put(jobs, "job", enabled=1)
    (tmp_path / "other").mkdir()

    assert sidecar("validate", path)[1].startswith(f"{path}: enabled")
    assert sidecar("validate", jobs, tmp_path / "other")[1].startswith(f"{path}: enabled")


def test_validate_says_that_a_file_will_not_be_read_for_its_name(sidecar, jobs):
    code, out, _ = sidecar("validate", put(jobs, "job", "job.json.new"))

    assert code == 0
    assert "only files called NAME.json" in out


def test_validate_escapes_what_a_hostile_file_name_holds(sidecar, jobs):
    put(jobs, "job", "a\x1b[31m\n.json", enabled=1)
    _, out, _ = sidecar("validate")

    assert out.startswith(r"a\x1b[31m\n.json: enabled")


def test_validate_json_holds_the_same_as_data(sidecar, jobs):
    put(jobs, "good")
    put(jobs, "bad", enabled="yes")
    code, out, _ = sidecar("validate", "--json")

    assert code == 1
    assert json.loads(out) == {
        "valid": False,
        "files": [
            {
                "file": "bad.json",
                "valid": False,
                "job_name": "bad",
                "problems": [{"field": "enabled", "found": "'yes'", "wanted": "expected true or false"}],
            },
            {"file": "good.json", "valid": True, "job_name": "good", "problems": []},
        ],
    }


def test_validate_json_names_the_job_of_an_invalid_file_where_a_job_can_be_called_so(sidecar, jobs):
    put(jobs, "same", "a.json")
    put(jobs, "same", "b.json")
    put(jobs, "same", "0.json", enabled=1)
    put(jobs, "no name", "c.json")
    (jobs / "d.json").write_text(json.dumps({"name": ["listed"]}))
    (jobs / "e.json").write_text("{")
    files = json.loads(sidecar("validate", "--json")[1])["files"]

    assert {each["file"]: (each["job_name"], each["valid"]) for each in files} == {
        "0.json": ("same", False),
        "a.json": ("same", True),
        "b.json": ("same", False),
        "c.json": (None, False),
        "d.json": (None, False),
        "e.json": (None, False),
    }
