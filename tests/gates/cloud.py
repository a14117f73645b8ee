"""A stand-in for AWS in this process (moto), with what infra/terraform would have made there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.moto_api._internal import moto_api_backend as moto_backends
from moto.server import ThreadedMotoServer

from loa_site.local import ports

REGION = "us-east-1"
ENVIRONMENT = "staging"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": REGION,
}


class Cloud:
    """The running stand-in."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.topic_arn = ""

    def client(self, service: str) -> Any:
        """A client of one of its services."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which aws reaches it."""
        return CREDENTIALS | {"AWS_ENDPOINT_URL": self.url, "AWS_REGION": REGION, "ENVIRONMENT": ENVIRONMENT}

    def build(self, *, alarms: int = 6) -> None:
        """A service, a topic that somebody reads, and alarms that act on it."""
        self.build_service()
        sns = self.client("sns")
        self.topic_arn = sns.create_topic(Name=f"loa-finn-alarms-{ENVIRONMENT}")["TopicArn"]
        sns.subscribe(TopicArn=self.topic_arn, Protocol="email", Endpoint="oncall@example.com")
        for number in range(alarms):
            self.put_alarm(f"loa-finn-alarm-{number}-{ENVIRONMENT}", [self.topic_arn])

    def build_service(self, *, desired: int = 0) -> None:
        """A service of as many tasks, none of which runs: nothing runs tasks here."""
        ecs = self.client("ecs")
        ecs.create_cluster(clusterName=f"loa-finn-{ENVIRONMENT}")
        ecs.register_task_definition(family="loa", containerDefinitions=[{"name": "loa", "image": "loa", "memory": 1}])
        ecs.create_service(
            cluster=f"loa-finn-{ENVIRONMENT}",
            serviceName=f"loa-finn-{ENVIRONMENT}",
            taskDefinition="loa",
            desiredCount=desired,
        )

    def put_alarm(self, name: str, actions: list[str], *, state: str = "OK") -> None:
        """An alarm in a state."""
        cloudwatch = self.client("cloudwatch")
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            AlarmActions=actions,
            MetricName="m",
            Namespace="n",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
        )
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")


@contextmanager
def cloud() -> Iterator[Cloud]:
    """A fresh stand-in on a free port."""
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    port = ports.free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    moto_backends.reset()  # its state outlives a server of the same process
    try:
        yield Cloud(f"http://127.0.0.1:{port}")
    finally:
        server.stop()
