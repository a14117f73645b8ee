# must fail: CKV_AWS_24 CKV_AWS_382
resource "aws_security_group" "open_group" {
  name        = "open"
  description = "open"

  ingress {
    description = "everything"
    from_port   = 0
    to_port     = 65535
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }

  egress {
    description = "everything"
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}
