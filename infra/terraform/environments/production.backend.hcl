# terraform init -backend-config=environments/production.backend.hcl -backend-config="bucket=…" -backend-config="kms_key_id=…"
key          = "loa-finn/production/terraform.tfstate"
encrypt      = true
use_lockfile = true
