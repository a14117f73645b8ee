# must fail: CKV_AWS_7
resource "aws_kms_key" "key_without_rotation" {
  description = "never rotated"
}
