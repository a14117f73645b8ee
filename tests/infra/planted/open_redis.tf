# must fail: CKV_AWS_29 CKV_AWS_30
resource "aws_elasticache_replication_group" "open_redis" {
  replication_group_id = "open"
  description          = "no encryption, no password"
}
