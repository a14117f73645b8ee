# must fail: CKV_AWS_26
resource "aws_sns_topic" "topic_without_key" {
  name = "plain"
}
