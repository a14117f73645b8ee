"""The criteria of plan 11.1, 11.2 and 12.3 that live in infra/terraform, each read from the code itself."""

import re
from pathlib import Path
from typing import Any

import pytest

from loa_site.local import binaries
from tests.infra import hcl, terraform
from tests.infra.hcl import ALARM, FILTER, TOPIC

PLAN_ALARMS = ("cpu_high", "memory_high", "error_5xx_rate", "billing_pending_high", "ecs_desired_count_drift")
SECRET_WORDS = re.compile(r"(password|secret|token|private_key)(?!.*(_arn|_version|_names|_id)$)", re.IGNORECASE)


def whole_text() -> str:
    return "\n".join(path.read_text() for path in sorted(hcl.FOLDER.rglob("*.tf")))


def variable(name: str, folder: Path = hcl.FOLDER) -> dict[str, Any]:
    return {address: hcl.plain(body) for address, body in hcl.blocks("variable", folder)}[name]


@pytest.fixture(scope="module")
def work() -> Any:
    if not terraform.program():
        pytest.skip(terraform.NOT_RUN)
    with terraform.workspace() as made:
        yield made


# ---- 11.1


@pytest.mark.parametrize("folder", [hcl.FOLDER, hcl.FOLDER / "modules" / "task_policy"])
def test_the_key_is_a_text_without_default_that_is_validated(folder: Path) -> None:
    declared = variable("kms_key_arn", folder)

    assert declared["type"] == "string"
    assert "default" not in declared
    assert declared["nullable"] is False
    assert "arn:aws(-cn|-us-gov)?:kms:" in str(declared["validation"])


def test_kms_decrypt_names_the_variable_and_no_wildcard() -> None:
    text = (hcl.FOLDER / "modules" / "task_policy" / "main.tf").read_text()

    statement = re.search(r'Sid\s+= "KMSDecrypt".*?\n      \}', text, re.DOTALL)

    assert statement is not None
    assert re.search(r"Resource\s+= var\.kms_key_arn\n", statement[0])
    assert 'Resource = "*"' not in statement[0]
    assert "medium-7" in text.partition('"KMSDecrypt"')[0]


def test_the_task_role_uses_that_policy_and_no_other() -> None:
    policies = {name: hcl.plain(body) for name, body in hcl.resources("aws_iam_role_policy").items()}

    assert policies["aws_iam_role_policy.task"]["policy"] == "${module.task_policy.json}"
    assert sorted(policies) == ["aws_iam_role_policy.task", "aws_iam_role_policy.task_execution"]


def test_every_resource_that_is_a_wildcard_stands_in_the_policy_of_a_key() -> None:
    wildcards = {
        path.name: len(re.findall(r'Resource\s*=\s*"\*"', path.read_text()))
        for path in hcl.FOLDER.rglob("*.tf")
        if re.search(r'Resource\s*=\s*"\*"', path.read_text())
    }

    assert wildcards == {"loa-finn-kms.tf": 2}, "in a key's own policy the wildcard is the key itself"


def test_terraform_accepts_one_key_and_refuses_wildcards_aliases_and_strangers(work: terraform.Workspace) -> None:
    assert "task_policy: Success! 13 passed, 0 failed." in terraform.check_modules(work)


def test_the_code_is_formatted(work: terraform.Workspace) -> None:
    assert terraform.check_format(work) == "formatted"


# ---- 11.2


def test_the_topic_carries_the_environment_and_is_encrypted() -> None:
    topic = hcl.plain(hcl.resources("aws_sns_topic")["aws_sns_topic.loa_finn_alarms"])

    assert topic["name"] == "loa-finn-alarms-${var.environment}"
    assert topic["kms_master_key_id"] == '${aws_kms_key.purpose["alarms"].arn}'


def test_only_this_accounts_alarms_publish_to_the_topic() -> None:
    policy = str(hcl.resources("aws_sns_topic_policy")["aws_sns_topic_policy.loa_finn_alarms"]["policy"])

    assert "cloudwatch.amazonaws.com" in policy
    assert "aws:SourceAccount" in policy
    assert "aws:SecureTransport" in policy


def test_mail_goes_to_whoever_applies_named() -> None:
    subscription = hcl.plain(hcl.resources("aws_sns_topic_subscription")["aws_sns_topic_subscription.alarm_email"])

    assert subscription["protocol"] == "email"
    assert subscription["endpoint"] == "${var.alarm_email}"
    assert subscription["topic_arn"] == TOPIC
    assert "count" not in subscription
    assert "default" not in variable("alarm_email")


def test_the_pending_confirmation_is_written_down() -> None:
    assert "PendingConfirmation" in (hcl.FOLDER / "loa-finn-monitoring.tf").read_text()


@pytest.mark.parametrize("name", PLAN_ALARMS)
def test_each_alarm_of_the_plan_points_to_the_topic(name: str) -> None:
    assert hcl.resources(ALARM)[f"{ALARM}.{name}"]["alarm_actions"] == [TOPIC]


def alarm_mistakes(folder: Path) -> list[str]:
    """What is wrong with the alarms of a folder: no action, no way back, silence undecided, no runbook."""
    found = []
    for address, body in hcl.resources(ALARM, folder).items():
        alarm = hcl.plain(body)
        for actions in ("alarm_actions", "ok_actions"):
            if alarm.get(actions) != [TOPIC]:
                found.append(f"{address}: {actions}")
        silence = alarm.get("treat_missing_data")
        if silence not in ("breaching", "notBreaching", "${each.value.missing}"):
            found.append(f"{address}: treat_missing_data")
        if not re.search(r"\$\{(var\.runbook_base_url\}/|each\.value\.runbook\})", str(alarm.get("alarm_description"))):
            found.append(f"{address}: runbook")
    return found


def test_every_alarm_acts_recovers_decides_on_silence_and_links_its_runbook() -> None:
    assert alarm_mistakes(hcl.FOLDER) == []
    assert len(hcl.resources(ALARM)) == 8


def test_an_alarm_without_these_is_found(tmp_path: Path) -> None:
    (tmp_path / "alarm.tf").write_text(
        'resource "aws_cloudwatch_metric_alarm" "mute" {\n'
        '  alarm_name = "mute"\n'
        '  alarm_actions = var.alarm_sns_topic_arn != "" ? [var.alarm_sns_topic_arn] : []\n'
        "}\n"
    )

    mistakes = alarm_mistakes(tmp_path)

    assert [mistake.partition(": ")[2] for mistake in mistakes] == [
        "alarm_actions", "ok_actions", "treat_missing_data", "runbook",
    ]  # fmt: skip


def test_no_action_is_conditional_and_the_old_variable_is_gone() -> None:
    text = whole_text()

    assert "alarm_sns_topic_arn" not in text
    assert re.search(r"_actions\s*=.*\?", text) is None


def test_every_runbook_that_an_alarm_links_exists() -> None:
    named = set(re.findall(r"runbook_base_url\}/([a-z0-9-]+)\.md", whole_text()))
    text = (hcl.FOLDER / "loa-finn-monitoring.tf").read_text()
    stores = re.search(r"store_alarms = \{(.*?)\n  \}\n", text, re.DOTALL)
    assert stores is not None
    slugs = {name.replace("_", "-") for name in [*hcl.catalogue(), *re.findall(r"^    (\w+) = \{", stores[1], re.M)]}
    pages = {path.stem for path in (binaries.ROOT / "infra" / "runbooks").glob("*.md")}

    assert len(named) == 6
    assert (named | slugs) - pages == set()


# ---- 12.3


def test_the_filter_looks_for_a_change_to_open() -> None:
    found = hcl.plain(hcl.resources(FILTER)[f"{FILTER}.settlement_circuit_open"])

    assert found["pattern"] == '{ $.metric = "settlement.circuit.state_change" && $.to = "OPEN" }'


def test_the_alarm_fires_above_zero_within_a_minute_and_tells_the_topic() -> None:
    alarm = hcl.plain(hcl.resources(ALARM)[f"{ALARM}.settlement_circuit_open"])

    assert "settlement-circuit-open" in alarm["alarm_name"]
    assert (alarm["comparison_operator"], alarm["threshold"]) == ("GreaterThanThreshold", 0)
    assert (alarm["statistic"], alarm["period"], alarm["evaluation_periods"]) == ("Sum", 60, 1)
    assert alarm["alarm_actions"] == [TOPIC]


def test_every_filter_reports_zero_where_nothing_matches() -> None:
    defaults = [body["metric_transformation"][0].get("default_value") for body in hcl.resources(FILTER).values()]

    assert [hcl.plain(one) for one in defaults] == ["0"] * 3


# ---- what a reviewer looks for


def test_no_secret_has_a_default_or_reaches_the_state() -> None:
    secrets = {name: hcl.plain(body) for name, body in hcl.blocks("variable") if SECRET_WORDS.search(name)}
    arguments = re.findall(r"^\s*(auth_token|password|secret_string|passwords)\s*=", whole_text(), re.MULTILINE)

    assert sorted(secrets) == ["redis_password"]
    assert secrets["redis_password"]["ephemeral"] is True
    assert "default" not in secrets["redis_password"]
    assert arguments == []


def test_redis_asks_for_a_password_and_the_default_user_may_do_nothing() -> None:
    group = hcl.plain(hcl.resources("aws_elasticache_replication_group")["aws_elasticache_replication_group.redis"])
    nobody = hcl.plain(hcl.resources("aws_elasticache_user")["aws_elasticache_user.nobody"])

    assert group["user_group_ids"] == ["${aws_elasticache_user_group.redis.user_group_id}"]
    assert group["transit_encryption_enabled"] is True
    assert (nobody["user_name"], nobody["access_string"]) == ("default", "off -@all")


def test_each_key_has_one_purpose_rotates_and_waits_thirty_days_before_it_dies() -> None:
    keys = hcl.resources("aws_kms_key")

    assert list(keys) == ["aws_kms_key.purpose"]
    assert keys["aws_kms_key.purpose"]["enable_key_rotation"] is True
    assert keys["aws_kms_key.purpose"]["deletion_window_in_days"] == 30


def test_no_service_is_bound_to_a_single_task() -> None:
    services = hcl.resources("aws_ecs_service")

    assert len(services) == 2
    for service in services.values():
        assert service["deployment_minimum_healthy_percent"] == 100
        assert service["deployment_maximum_percent"] == 200
        assert str(service["desired_count"]).startswith("${")


def test_every_variable_says_what_it_is_and_every_kind_of_name_is_validated() -> None:
    free = {"zone_id"}
    for name, body in hcl.blocks("variable"):
        assert body.get("description"), name
        if name not in free | {"environment", "aws_region", "aws_account_id"}:
            assert body.get("validation"), name
    for name in ("environment", "aws_region", "aws_account_id"):
        assert variable(name, hcl.FOLDER).get("validation") or name in free


def test_environments_keep_their_states_apart() -> None:
    folder = hcl.FOLDER / "environments"
    keys = [re.search(r'key\s+= "(.+)"', path.read_text()) for path in sorted(folder.glob("*.backend.hcl"))]

    assert [found[1] for found in keys if found] == [
        "loa-finn/production/terraform.tfstate",
        "loa-finn/staging/terraform.tfstate",
    ]
    for name in ("production", "staging"):
        assert f'environment     = "{name}"' in (folder / f"{name}.tfvars").read_text()
