"""Whom an alarm tells: the topic and a queue behind it, in the stand-in for AWS."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.gates.cloud import Cloud, cloud


@contextmanager
def cloud_with_somebody_on_call() -> Iterator[Cloud]:
    """A cloud whose topic of alarms somebody reads."""
    with cloud() as made:
        sns, sqs = made.client("sns"), made.client("sqs")
        made.topic_arn = sns.create_topic(Name="loa-finn-alarms-test")["TopicArn"]
        queue = sqs.create_queue(QueueName="oncall")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=made.topic_arn, Protocol="sqs", Endpoint=arn)
        yield made


def require_that_oncall_is_told(aws: Cloud, name: str) -> None:
    """Put the alarm as Terraform does, set the state that was found, and read what its action told the topic."""
    alarm_name = f"loa-finn-{name}-test"
    aws.put_alarm(alarm_name, [aws.topic_arn], state="ALARM")
    sqs = aws.client("sqs")
    [told] = aws.client("cloudwatch").describe_alarms(AlarmNames=[alarm_name])["MetricAlarms"]
    assert told["AlarmActions"] == [aws.topic_arn]
    message = json.dumps({"AlarmName": told["AlarmName"], "NewStateValue": told["StateValue"]})
    aws.client("sns").publish(TopicArn=told["AlarmActions"][0], Message=message)
    queue = sqs.get_queue_url(QueueName="oncall")["QueueUrl"]
    [arrived] = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1, WaitTimeSeconds=5)["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=arrived["ReceiptHandle"])
    body = json.loads(json.loads(arrived["Body"])["Message"])
    assert body == {"AlarmName": alarm_name, "NewStateValue": "ALARM"}
