# must fail: CKV_AWS_17 CKV_AWS_16 CKV_AWS_293
resource "aws_db_instance" "public_database" {
  instance_class      = "db.t4g.micro"
  publicly_accessible = true
}
