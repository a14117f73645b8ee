# must fail: CKV_AWS_289 CKV_AWS_290 CKV_AWS_355
resource "aws_iam_role_policy" "wildcard_policy" {
  role = "loa"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "*", Resource = "*" }]
  })
}
