variables {
  environment    = "production"
  aws_region     = "us-east-1"
  aws_account_id = "123456789012"
  kms_key_arn    = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
}

run "decrypts_with_exactly_the_named_key" {
  assert {
    condition     = [for s in output.statements : s.Resource if s.Sid == "KMSDecrypt"] == [var.kms_key_arn]
    error_message = "KMSDecrypt must name exactly kms_key_arn."
  }
  assert {
    condition     = !strcontains(output.json, "\"Resource\":\"*\"") && !strcontains(output.json, "kms:*")
    error_message = "No statement may name every resource or every action."
  }
  assert {
    condition     = length(output.statements) == 2
    error_message = "Without a signing key there is no KMSSign."
  }
}

run "signs_with_a_key_of_its_own" {
  variables {
    kms_signing_key_arn = "arn:aws:kms:us-east-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab"
  }
  assert {
    condition     = [for s in output.statements : s.Action if s.Sid == "KMSSign"] == [["kms:Sign", "kms:GetPublicKey"]]
    error_message = "KMSSign must not decrypt."
  }
}

run "accepts_the_government_partition" {
  variables {
    aws_region  = "us-gov-west-1"
    kms_key_arn = "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }
  assert {
    condition     = strcontains(output.json, "arn:aws-us-gov:logs:us-gov-west-1")
    error_message = "The partition must be that of the key."
  }
}

run "accepts_the_chinese_partition" {
  variables {
    aws_region  = "cn-north-1"
    kms_key_arn = "arn:aws-cn:kms:cn-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }
}

run "refuses_a_wildcard" {
  variables {
    kms_key_arn = "*"
  }
  command         = plan
  expect_failures = [var.kms_key_arn]
}

run "refuses_every_key_of_the_account" {
  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/*"
  }
  command         = plan
  expect_failures = [var.kms_key_arn]
}

run "refuses_every_key_of_every_account" {
  variables {
    kms_key_arn = "arn:aws:kms:*:*:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }
  command         = plan
  expect_failures = [var.kms_key_arn]
}

run "refuses_an_alias" {
  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:alias/loa"
  }
  command         = plan
  expect_failures = [var.kms_key_arn]
}

run "refuses_a_key_of_another_account" {
  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:999999999999:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }
  command         = plan
  expect_failures = [var.kms_key_arn]
}

run "refuses_a_key_of_another_region" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }
  command         = plan
  expect_failures = [var.kms_key_arn]
}

run "refuses_another_service" {
  variables {
    kms_key_arn = "arn:aws:s3:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }
  command         = plan
  expect_failures = [var.kms_key_arn]
}

run "refuses_nothing_at_all" {
  variables {
    kms_key_arn = ""
  }
  command         = plan
  expect_failures = [var.kms_key_arn]
}

run "refuses_one_key_for_two_purposes" {
  variables {
    kms_signing_key_arn = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }
  command         = plan
  expect_failures = [var.kms_signing_key_arn]
}
