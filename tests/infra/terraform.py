"""What can be proved about infra/terraform without AWS: format, rules, wiring, and a scan that finds planted mistakes.

The AWS provider cannot be fetched everywhere. Modules without a provider run under `terraform test` as they are; the
rest runs against a stub of the provider that knows attributes and kinds. That proves names, types, wiring and our own
rules, not what AWS accepts: each step says which it was. A copy is worked on: no lock file or state stays behind.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loa_site.local import binaries
from tests.interop.environments import prepared_python

SOURCE = binaries.ROOT / "infra" / "terraform"
HOME = binaries.ROOT / ".loa" / "infra"
LOCKS = Path(__file__).parent / "locks"
STUB = Path(__file__).parent / "stub_provider" / "provider.py"
PLANTED = Path(__file__).parent / "planted"
MODULES = ("task_policy", "alarm_catalogue")
STUB_VERSION = "6.0.0"
NOT_RUN = (
    "not run: there is no terraform here; it is in no package of Debian, PyPI or npm: get 1.11 or newer from its maker"
    " (the job `terraform` of the public workflow has it)"
)
PROVIDER_HOST = ".".join(("registry", "terraform", "io"))
SECRET = "only-for-tests-" * 3
PLAN_VARIABLES = {
    "aws_region": "us-east-1",
    "aws_account_id": "123456789012",
    "kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "alarm_email": "oncall@example.com",
    "runbook_base_url": "https://runbooks.example.com/infra/runbooks",
    "image": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/loa@sha256:{'0' * 64}",
    "domain_name": "loa.example.com",
    "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012",
    "vpc_id": "vpc-0123456789abcdef0",
    "public_subnet_ids": '["subnet-0a","subnet-0b"]',
    "private_subnet_ids": '["subnet-0c","subnet-0d"]',
    "access_log_bucket": "loa-finn-access-logs",
    "redis_password": SECRET,
    "pay_to": "0x1111111111111111111111111111111111111111",
}


class StepFailed(Exception):
    """Raised when a step did not hold; the message is the tool's own last words."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A copy of the Terraform code and the environment terraform runs in."""

    folder: Path
    environment: dict[str, str]

    def terraform(self, *arguments: str, where: str = ".") -> str:
        """Run terraform in a folder of the copy; its output. Raises StepFailed."""
        return run([program(), *arguments], folder=self.folder / where, environment=self.environment)


def program() -> str:
    """The terraform program, or the empty string when there is none."""
    return shutil.which("terraform") or ""


@contextmanager
def workspace() -> Iterator[Workspace]:
    """A fresh copy without state, whose terraform reaches no network."""
    with tempfile.TemporaryDirectory(prefix="loa-terraform-") as scratch:
        folder = Path(scratch) / "terraform"
        shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
        settings = Path(scratch) / "terraformrc"
        settings.write_text("")
        ours = {"TF_CLI_CONFIG_FILE": str(settings), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
        yield Workspace(folder, inherited | ours)


def check_format(work: Workspace) -> str:
    """That everything is formatted."""
    work.terraform("fmt", "-check", "-recursive", "-no-color")
    return "formatted"


def check_modules(work: Workspace) -> str:
    """The modules without a provider, under `terraform test`."""
    verdicts = []
    for module in MODULES:
        where = f"modules/{module}"
        work.terraform("init", "-backend=false", "-input=false", "-no-color", where=where)
        verdicts.append(f"{module}: {last_line(work.terraform('test', '-no-color', where=where))}")
    return "; ".join(verdicts)


def check_site(work: Workspace) -> str:
    """`init`, `validate`, `test` and `plan` of both environments, against the stub. Raises NotInstalled."""
    install_stub(work)
    work.terraform("init", "-backend=false", "-input=false", "-no-color")
    work.terraform("validate", "-no-color")
    verdict = last_line(work.terraform("test", "-no-color"))
    (work.folder / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    work.terraform("init", "-reconfigure", "-input=false", "-no-color")
    plans = [f"{name}: {plan(work, name)} to add" for name in ("production", "staging")]
    return f"valid; {verdict}; {'; '.join(plans)} (against a stub of the provider, not AWS)"


def plan(work: Workspace, environment: str) -> int:
    """How many resources an environment would add. Raises StepFailed when the plan holds a secret."""
    given = [part for name, value in PLAN_VARIABLES.items() for part in ("-var", f"{name}={value}")]
    files = ("-input=false", "-no-color", f"-var-file=environments/{environment}.tfvars", f"-out={environment}.plan")
    work.terraform("plan", *files, *given)
    document = work.terraform("show", "-json", "-no-color", f"{environment}.plan")
    if SECRET in document:
        raise StepFailed("The plan holds the Redis password.")
    changes = json.loads(document)["resource_changes"]
    return sum(change["change"]["actions"] == ["create"] for change in changes)


def install_stub(work: Workspace) -> None:
    """Put the stub where terraform looks for the provider, and forbid it to look elsewhere."""
    python = prepared_python(HOME / "provider", lock=LOCKS / "provider.lock")
    mirror = work.folder.parent / "mirror"
    place = mirror / PROVIDER_HOST / "hashicorp" / "aws" / STUB_VERSION / platform()
    place.mkdir(parents=True)
    launcher = place / f"terraform-provider-aws_v{STUB_VERSION}"
    launcher.write_text(f'#!/bin/sh\nexec "{python}" "{STUB}" "$@"\n')
    launcher.chmod(0o755)
    settings = Path(work.environment["TF_CLI_CONFIG_FILE"])
    settings.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')


def platform() -> str:
    """What terraform calls this system and processor."""
    system = os.uname()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(system.machine, system.machine)
    return f"{system.sysname.lower()}_{machine}"


def check_scan(folder: Path = SOURCE) -> str:
    """That checkov finds nothing in the code but what is skipped with a reason. Raises StepFailed, NotInstalled."""
    failed, passed = scan(folder)
    if failed:
        raise StepFailed("checkov: " + ", ".join(sorted(failed)))
    return f"checkov: {passed} checks passed, none failed"


def check_planted() -> str:
    """That checkov does find what is planted, each mistake in a module of its own. Raises StepFailed."""
    failed, _ = scan(PLANTED)
    missed = [path.stem for path in sorted(PLANTED.glob("*.tf")) if not any(path.stem in one for one in failed)]
    wanted = {wish for path in PLANTED.glob("*.tf") for wish in wished(path)}
    unseen = sorted(wish for wish in wanted if not any(one.startswith(wish) for one in failed))
    if missed or unseen:
        raise StepFailed(f"checkov did not see {', '.join([*missed, *unseen])}")
    return f"{len(wanted)} planted mistakes were seen"


def wished(path: Path) -> list[str]:
    """The checks that a planted file says must fail, in its first line."""
    return path.read_text().splitlines()[0].removeprefix("# must fail:").split()


def scan(folder: Path) -> tuple[set[str], int]:
    """What checkov finds wrong, as `CHECK file:resource`, and how many checks passed."""
    python = prepared_python(HOME / "scanner", lock=LOCKS / "scanner.lock")
    command = [
        str(python),
        str(python.with_name("checkov")),
        "--framework",
        "terraform",
        "--skip-download",
        "-o",
        "json",
    ]
    environment = os.environ | {"LOG_LEVEL": "ERROR"}
    answer = run([*command, "--soft-fail", "-d", str(folder)], folder=folder, environment=environment)
    report = json.loads(answer)["results"]
    failed = {f"{one['check_id']} {Path(one['file_path']).stem}:{one['resource']}" for one in report["failed_checks"]}
    return failed, len(report["passed_checks"])


def run(command: list[str], *, folder: Path, environment: dict[str, str]) -> str:
    """Run a program; its output. Raises StepFailed with its last words."""
    answer = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    if answer.returncode != 0:
        raise StepFailed((answer.stdout + answer.stderr)[-3000:])
    return answer.stdout


def last_line(text: str) -> str:
    """The last line that says something."""
    return [line for line in text.splitlines() if line.strip()][-1]
