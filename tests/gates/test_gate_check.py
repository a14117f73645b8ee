"""infra/gates/gate-check.sh: against the running site and a stand-in for AWS, and against failing programs.

Every criterion is broken on purpose and must be named; no error of AWS, of the network or of credentials is a PASS.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from loa_site.gates.criteria import CRITERIA, GATE_NAMES
from loa_site.local import binaries
from tests.gates.cloud import ENVIRONMENT, Cloud, cloud
from tests.infra.programs import program

SCRIPT = binaries.ROOT / "infra" / "gates" / "gate-check.sh"
TOKEN = "gate-token-of-the-tests"
AWS_CRITERIA = (
    "ECS service exists and ACTIVE",
    "Health endpoint returns 200",
    "CloudWatch alarms exist (>=5)",
    "SNS alarm topic wired",
)
GREEN = "All CloudWatch alarms green"
PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"


def run(*arguments: str, **variables: str) -> tuple[int, dict[str, dict[str, str]], dict[str, object]]:
    """The script's exit code, its checks by name, and the whole document."""
    answer = call(*arguments, "--json", **variables)
    document = json.loads(answer.stdout)
    return answer.returncode, {check["name"]: check for check in document["checks"]}, document


def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": PATH, "HOME": "/nonexistent", "TIMEOUT_SECONDS": "5"}
    return subprocess.run(
        [str(SCRIPT), *arguments], env=clean | variables, capture_output=True, text=True, timeout=400, check=False
    )


def failed(checks: dict[str, dict[str, str]]) -> list[str]:
    return [name for name, check in checks.items() if check["status"] == "FAIL"]


class Programs:
    """Replacements for aws and curl that answer what a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        arn = f"arn:aws:sns:us-east-1:1:loa-finn-alarms-{ENVIRONMENT}"
        self.aws = {
            "ecs": "ACTIVE\t2\t2",
            "describe-alarms": "\n".join(f"loa-finn-{n}-{ENVIRONMENT}\tTrue\t{arn}" for n in range(5)),
            "green": "",
            "list-topics": arn,
            "list-subscriptions-by-topic": "1",
        }
        self.aws_fails: set[str] = set()
        self.health = "200"
        self.gates = "".join(f"PASS\t{one.name}\t\n" for one in CRITERIA)
        self.gates_code = "200"

    def write(self) -> str:
        """The PATH on which they are found first."""
        cases = []
        for word, text in self.aws.items():
            ends = "exit 255" if word in self.aws_fails else "exit 0"
            pattern = '*"!= '.replace('"', "") if word == "green" else f"*{word}*"
            cases.append((pattern, f"printf '%s\\n' '{text}'; {ends}"))
        cases.sort(key=lambda case: "!=" not in case[0])
        body = "\n".join(f"  {pattern.replace('*!= ', '*!=*')}) {action} ;;" for pattern, action in cases)
        self._program("aws", f'case "$*" in\n{body}\nesac\n')
        self._program(
            "curl",
            'case "$*" in\n'
            f"  */api/v1/gates/*) cat '{self._file('gates', self.gates)}'; printf '\\n{self.gates_code}' ;;\n"
            f"  *) printf '%s' '{self.health}' ;;\nesac\n",
        )
        return f"{self.folder}:{PATH}"

    def _file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def _program(self, name: str, body: str) -> None:
        path = self._file(name, f"#!/bin/bash\n{body}")
        path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


@pytest.fixture
def aws() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


# ---- usage and form


@pytest.mark.parametrize(
    "arguments", [(), ("5",), ("0", "1"), ("--nonsense",), ("0", "--fast"), ("0; id",), ("0 ",), ("",)]
)
def test_wrong_usage_names_the_five_gates_and_leaves_with_two(arguments: tuple[str, ...]) -> None:
    answer = call(*arguments)

    assert (answer.returncode, answer.stdout) == (2, "")
    for name in GATE_NAMES.values():
        assert name in answer.stderr


@pytest.mark.parametrize("gate", sorted(GATE_NAMES))
def test_a_dry_run_asks_nobody_and_is_valid_json(gate: int) -> None:
    code, checks, document = run(str(gate), "--dry-run", PATH="/bin:/usr/bin")

    assert code == 0
    assert (document["gate"], document["gate_name"], document["overall"]) == (gate, GATE_NAMES[gate], "PASS")
    assert set(document) == {"gate", "gate_name", "overall", "passed", "failed", "checks"}
    assert all(set(check) == {"name", "status", "detail"} for check in checks.values())
    expected = [*AWS_CRITERIA, *[one.name for one in CRITERIA if one.gate <= gate], *([GREEN] if gate == 4 else [])]
    assert list(checks) == expected


def test_the_script_names_the_criteria_of_the_service_and_no_others() -> None:
    _, checks, _ = run("4", "--dry-run")

    assert [name for name in checks if name not in (*AWS_CRITERIA, GREEN)] == [one.name for one in CRITERIA]


def test_the_script_is_clean_and_needs_no_other_program() -> None:
    text = SCRIPT.read_text()

    commands = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for word in ("eval", "jq", "python", "sed", "awk", "grep", "mktemp"):
        assert re.search(rf"\b{word}\b", commands) is None, word


def test_shellcheck_finds_nothing_in_any_shell_script() -> None:
    scripts = sorted((binaries.ROOT / "infra").rglob("*.sh"))
    scripts += [binaries.ROOT / ".ci" / "run", *(binaries.ROOT / "tests").rglob("*.sh")]
    command = [program("shellcheck"), "--norc", *map(str, scripts)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)

    assert SCRIPT in scripts
    assert (found.returncode, found.stdout) == (0, "")


# ---- each criterion broken on purpose, with replaced programs


def test_everything_well_is_a_pass(programs: Programs) -> None:
    code, checks, document = run("4", PATH=programs.write(), ENVIRONMENT=ENVIRONMENT)

    assert (code, failed(checks), document["overall"]) == (0, [], "PASS")


@pytest.mark.parametrize(
    ("word", "text", "named"),
    [
        ("ecs", "INACTIVE\t0\t0", ["ECS service exists and ACTIVE"]),
        ("ecs", "None", ["ECS service exists and ACTIVE"]),
        ("ecs", "ACTIVE\t1\t2", ["ECS service exists and ACTIVE"]),
        ("describe-alarms", "", [*AWS_CRITERIA[2:]]),
        ("describe-alarms", f"loa-finn-x-{ENVIRONMENT}\tFalse\tNone", [*AWS_CRITERIA[2:]]),
        ("list-topics", "arn:aws:sns:us-east-1:1:loa-finn-alarms-production", ["SNS alarm topic wired"]),
        ("list-subscriptions-by-topic", "0", ["SNS alarm topic wired"]),
        ("green", "loa-finn-cpu-high-staging\tALARM", [GREEN]),
        ("green", "loa-finn-cpu-high-staging\tINSUFFICIENT_DATA", [GREEN]),
    ],
)  # fmt: skip
def test_what_aws_says_is_read(programs: Programs, word: str, text: str, named: list[str]) -> None:
    programs.aws[word] = text

    code, checks, _ = run("4", PATH=programs.write(), ENVIRONMENT=ENVIRONMENT)

    assert (code, failed(checks)) == (1, named)


@pytest.mark.parametrize("word", ["ecs", "describe-alarms", "list-topics", "list-subscriptions-by-topic", "green"])
def test_an_error_of_aws_is_never_a_pass(programs: Programs, word: str) -> None:
    programs.aws[word] = 'An error occurred (UnrecognizedClientException): "bad" \\ token'
    programs.aws_fails.add(word)

    code, checks, _ = run("4", PATH=programs.write(), ENVIRONMENT=ENVIRONMENT)

    assert code == 1
    assert any("UnrecognizedClientException" in check["detail"] for check in checks.values())


@pytest.mark.parametrize("criterion", [one.name for one in CRITERIA])
def test_each_criterion_of_the_service_that_fails_is_named(programs: Programs, criterion: str) -> None:
    programs.gates = programs.gates.replace(f"PASS\t{criterion}\t", f'FAIL\t{criterion}\tsaid "no"\\')

    code, checks, _ = run("4", PATH=programs.write(), ENVIRONMENT=ENVIRONMENT)

    assert (code, failed(checks)) == (1, [criterion])
    assert checks[criterion]["detail"] == 'said "no"\\'


@pytest.mark.parametrize(
    ("body", "code"), [("", "200"), ("<html>", "200"), ("PASS", "200"), ('{"code":"x"}', "401"), ("PASS\t", "503")]
)
def test_an_answer_that_cannot_be_read_fails_every_criterion(programs: Programs, body: str, code: str) -> None:
    if code != "200":
        programs.gates_code = code
    else:
        programs.gates = body

    left, checks, _ = run("2", PATH=programs.write(), ENVIRONMENT=ENVIRONMENT)

    assert left == 1
    assert failed(checks) == [one.name for one in CRITERIA if one.gate <= 2]


@pytest.mark.parametrize("status", ["000", "503", "401", "2000"])
def test_health_is_two_hundred_and_nothing_else(programs: Programs, status: str) -> None:
    programs.health = status

    _, checks, _ = run("0", PATH=programs.write(), ENVIRONMENT=ENVIRONMENT)

    assert failed(checks) == ["Health endpoint returns 200"]


def test_missing_programs_are_a_failure_that_names_them(tmp_path: Path) -> None:
    for name in ("bash", "env"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")

    code, checks, _ = run("0", PATH=str(tmp_path))

    assert code == 1
    assert checks["Programs are there"]["detail"] == "missing: aws curl"


def test_words_with_spaces_and_semicolons_stay_words(programs: Programs) -> None:
    code, checks, _ = run(
        "0", PATH=programs.write(), ENVIRONMENT="x; touch owned", BASE_URL="http://127.0.0.1:1/a b;id"
    )

    assert code == 1
    assert not (Path.cwd() / "owned").exists()
    assert checks["SNS alarm topic wired"]["detail"] == "there is no topic loa-finn-alarms-x; touch owned"


# ---- the real programs


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_gate_one_passes_against_the_site_and_the_cloud(
    aws: Cloud, live_server: LiveServer, settings: Settings
) -> None:
    settings.LOA = {**settings.LOA, "METRICS_TOKEN": TOKEN}
    aws.build()
    reach = aws.environment | {"BASE_URL": live_server.url}

    code, checks, document = run("1", **reach, GATE_TOKEN=TOKEN)
    stranger_code, stranger, _ = run("1", **reach, GATE_TOKEN="wrong")

    assert (code, failed(checks), document["overall"]) == (0, [], "PASS"), checks
    assert stranger_code == 1
    assert failed(stranger) == [one.name for one in CRITERIA if one.gate <= 1]


@pytest.mark.slow
def test_alarms_of_another_environment_or_without_the_topic_do_not_count(aws: Cloud) -> None:
    aws.build(alarms=4)
    for number in range(5):
        aws.put_alarm(f"loa-finn-other-{number}-production", [aws.topic_arn])
    aws.put_alarm(f"loa-finn-mute-{ENVIRONMENT}", [])

    code, checks, _ = run("0", **aws.environment, BASE_URL="http://127.0.0.1:1")

    assert code == 1
    assert checks["CloudWatch alarms exist (>=5)"]["detail"] == f"5 alarms of {ENVIRONMENT}"
    assert checks["SNS alarm topic wired"]["detail"] == f"without it: loa-finn-mute-{ENVIRONMENT}"
    assert checks["ECS service exists and ACTIVE"]["status"] == "PASS"


@pytest.mark.slow
def test_without_a_network_everything_fails_in_time() -> None:
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "BASE_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    credentials = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}

    code, checks, _ = run("0", **nowhere, **credentials)

    assert code == 1
    assert failed(checks) == [*AWS_CRITERIA, "Service is ready"]


@pytest.mark.slow
def test_without_credentials_nothing_of_aws_passes() -> None:
    code, checks, _ = run("0", BASE_URL="http://127.0.0.1:1", AWS_EC2_METADATA_DISABLED="true")

    assert code == 1
    assert "credentials" in checks["ECS service exists and ACTIVE"]["detail"].lower()
    assert os.environ.get("AWS_ACCESS_KEY_ID") is None
