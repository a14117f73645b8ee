terraform {
  # 1.11 brought write-only arguments: a password that is never in the state.
  required_version = ">= 1.11.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0.0, < 7.0.0"
    }
  }

  # Each environment keeps its state apart: `terraform init -backend-config=environments/<environment>.backend.hcl`.
  backend "s3" {}
}

provider "aws" {
  region = var.aws_region
  # A plan made with another account's credentials is refused before it reads anything.
  allowed_account_ids = [var.aws_account_id]

  default_tags {
    tags = {
      service     = "loa-finn"
      environment = var.environment
      managed_by  = "terraform"
    }
  }
}
