# must fail: CKV_AWS_336
resource "aws_ecs_task_definition" "secret_in_task" {
  family = "loa"
  container_definitions = jsonencode([{
    name        = "loa"
    image       = "loa:latest"
    environment = [{ name = "AWS_SECRET_ACCESS_KEY", value = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" }]
  }])
}
