# must fail: CKV2_AWS_6 CKV_AWS_20
resource "aws_s3_bucket" "public_bucket" {
  bucket = "loa-public"
}

resource "aws_s3_bucket_acl" "public_bucket" {
  bucket = aws_s3_bucket.public_bucket.id
  acl    = "public-read"
}
