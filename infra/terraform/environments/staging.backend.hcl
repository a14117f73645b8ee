# terraform init -backend-config=environments/staging.backend.hcl -backend-config="bucket=…" -backend-config="kms_key_id=…"
key          = "loa-finn/staging/terraform.tfstate"
encrypt      = true
use_lockfile = true
