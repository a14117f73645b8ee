"""Alarms on AWS's own metrics: what the cloud stored is evaluated as Terraform says, and somebody is told.

What can be broken here is broken: the site that fails its requests, the service whose tasks do not run. The rest are
AWS's figures about machines that are not here; each is put a hair on either side of its threshold.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from tests.gates.cloud import ENVIRONMENT, Cloud
from tests.infra import hcl
from tests.journeys.live_site import LiveSite
from tests.operations.metric_math import Metric, MetricAlarm, NotUnderstood, evaluated, metric_alarms
from tests.operations.oncall import cloud_with_somebody_on_call, require_that_oncall_is_told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ALARMS = metric_alarms()
GIB = 1024**3
Values = Mapping[str, float | None]
# The last value that is well, and the first that is not.
EDGES: dict[str, tuple[Values, Values]] = {
    "cpu_high": ({"m": 80}, {"m": 80.1}),
    "memory_high": ({"m": 80}, {"m": 80.1}),
    "error_5xx_rate": (
        {"requests": 1_000, "from_tasks": 10, "from_balancer": None},
        {"requests": 1_000, "from_tasks": 6, "from_balancer": 5},
    ),
    "ecs_desired_count_drift": ({"desired": 2, "running": 2}, {"desired": 2, "running": 1}),
    "redis_memory_high": ({"m": 70}, {"m": 70.1}),
    "database_cpu_high": ({"m": 80}, {"m": 80.1}),
    "database_storage_low": ({"m": 10 * GIB}, {"m": 10 * GIB - 1}),
    "database_connections_high": ({"m": 600}, {"m": 601}),
}


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with cloud_with_somebody_on_call() as made:
        yield made


def stored(aws: Cloud, metric: Metric, values: list[float | None]) -> list[float | None]:
    """What the cloud tells of a metric after each value was its only one within a period; the newest last."""
    cloudwatch = aws.client("cloudwatch")
    dimensions = [{"Name": "Test", "Value": str(datetime.now(UTC).timestamp())}]
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    begins = [end - timedelta(seconds=metric.period * (len(values) - number)) for number in range(len(values))]
    for begin, value in zip(begins, values, strict=True):
        if value is not None:
            datum = {"MetricName": metric.name, "Dimensions": dimensions, "Timestamp": begin, "Value": value}
            cloudwatch.put_metric_data(Namespace=metric.namespace, MetricData=[datum])
    told = []
    for begin in begins:
        answer = cloudwatch.get_metric_statistics(
            Namespace=metric.namespace,
            MetricName=metric.name,
            Dimensions=dimensions,
            StartTime=begin,
            EndTime=begin + timedelta(seconds=metric.period),
            Period=metric.period,
            Statistics=[metric.statistic],
        )
        points = answer["Datapoints"]
        told.append(points[0][metric.statistic] if points else None)
    return told


def seen(aws: Cloud, alarm: MetricAlarm, period: Values) -> list[Values]:
    """As many periods as the alarm wants, each with these values, as the cloud tells them."""
    series = {name: stored(aws, metric, [period[name]] * alarm.periods) for name, metric in alarm.metrics.items()}
    return [{name: values[number] for name, values in series.items()} for number in range(alarm.periods)]


def test_every_alarm_that_no_line_feeds_is_here() -> None:
    assert set(EDGES) == set(ALARMS)
    in_terraform = len(hcl.resources(hcl.ALARM)) - len(("event", "store")) + len(hcl.catalogue()) + 4
    assert len(ALARMS) + len(hcl.log_alarms()) == in_terraform


@pytest.mark.parametrize("name", list(EDGES))
def test_an_alarm_is_quiet_at_its_threshold_and_fires_beyond_it(aws: Cloud, name: str) -> None:
    alarm, (well, bad) = ALARMS[name], EDGES[name]

    assert not alarm.fires(seen(aws, alarm, well))
    assert alarm.fires(seen(aws, alarm, bad))
    assert not alarm.fires([*seen(aws, alarm, bad)[1:], well]), "one good period is enough to be quiet"
    require_that_oncall_is_told(aws, name)


@pytest.mark.parametrize("name", list(EDGES))
def test_silence_means_what_the_alarm_says_it_means(name: str) -> None:
    alarm = ALARMS[name]
    nothing: list[Values] = [dict.fromkeys(alarm.metrics)] * alarm.periods

    assert alarm.fires(nothing) is (alarm.missing == "breaching")


@pytest.mark.django_db(transaction=True)
def test_a_site_without_its_database_is_an_alarm_about_its_answers(aws: Cloud) -> None:
    alarm = ALARMS["error_5xx_rate"]
    with LiveSite({"DATABASE_URL": "postgresql://loa_app@127.0.0.1:1/absent", "DATABASE_POOL_SIZE": "0"}) as site:
        statuses = [site.ask("GET", "/api/v1/payments/pay_none").status for _ in range(20)]

    counted = {"requests": len(statuses), "from_tasks": sum(status >= 500 for status in statuses)}
    assert alarm.fires(seen(aws, alarm, counted | {"from_balancer": None})), statuses
    require_that_oncall_is_told(aws, "error_5xx_rate")


def test_a_service_whose_tasks_do_not_run_is_an_alarm_about_them(aws: Cloud) -> None:
    alarm, name = ALARMS["ecs_desired_count_drift"], f"loa-finn-{ENVIRONMENT}"
    aws.build_service(desired=2)

    [service] = aws.client("ecs").describe_services(cluster=name, services=[name])["services"]

    values: Values = {"desired": service["desiredCount"], "running": service["runningCount"]}
    assert (values["desired"], values["running"]) == (2, 0)
    assert alarm.fires(seen(aws, alarm, values))


@pytest.mark.parametrize("expression", ["open('x')", "requests ** 2", "unknown", "'text'", "[1]"])
def test_an_expression_that_is_not_understood_is_refused(expression: str) -> None:
    with pytest.raises(NotUnderstood):
        evaluated(expression, {"requests": 1})
