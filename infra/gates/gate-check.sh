#!/usr/bin/env bash
# Is a gate's condition met? (plan 12.5)
#
#   gate-check.sh 0..4 [--json] [--dry-run]
#
#   0 Smoke   1 Ignition   2 Warmup   3 Idle   4 Launch; a gate includes every lower one.
#
# Needs aws and curl, nothing else. What only the service knows is asked of /api/v1/gates/N, what only AWS knows of AWS.
# An error is never a PASS: a missing program, a timeout, refused credentials and an unreadable answer all FAIL.
# --dry-run asks nobody and prints which criteria there are. Exit code: 0 PASS, 1 FAIL, 2 wrong usage.
#
# ENVIRONMENT (production) · AWS_REGION (us-east-1) · AWS_ENDPOINT_URL (AWS itself)
# BASE_URL (http://127.0.0.1:8402) · HEALTH_ENDPOINT ($BASE_URL/health) · GATE_TOKEN (LOA_METRICS_TOKEN of the service)
# CLUSTER, SERVICE (loa-finn-$ENVIRONMENT) · TOPIC (loa-finn-alarms-$ENVIRONMENT) · TIMEOUT_SECONDS (20)
set -uo pipefail

ENVIRONMENT="${ENVIRONMENT:-production}"
AWS_REGION="${AWS_REGION:-us-east-1}"
BASE_URL="${BASE_URL:-http://127.0.0.1:8402}"
HEALTH_ENDPOINT="${HEALTH_ENDPOINT:-${BASE_URL}/health}"
CLUSTER="${CLUSTER:-loa-finn-${ENVIRONMENT}}"
SERVICE="${SERVICE:-loa-finn-${ENVIRONMENT}}"
TOPIC="${TOPIC:-loa-finn-alarms-${ENVIRONMENT}}"
TIMEOUT_SECONDS="${TIMEOUT_SECONDS:-20}"
export AWS_PAGER=""
GATE_NAMES=(Smoke Ignition Warmup Idle Launch)
LEAST_ALARMS=5
BACKSLASH=$'\x5c'
SERVICE_CRITERIA=(
  "0:Service is ready"
  "1:Billing state machine responds" "1:Quote generation works" "1:Conservation guard healthy"
  "2:NFT personality CRUD works" "2:Onboarding flow completes" "2:Credit purchase works"
  "3:BYOK validation works" "3:Feature flags configurable"
  "4:x402 payment flow operational" "4:Multi-model routing works" "4:No alarm condition holds"
)

names=() statuses=() details=()

usage() {
  {
    echo "usage: gate-check.sh <gate> [--json] [--dry-run]"
    for number in 0 1 2 3 4; do echo "  ${number}  ${GATE_NAMES[number]}"; done
  } >&2
  exit 2
}

record() {
  names+=("$1")
  statuses+=("$2")
  details+=("${3:-}")
}

# An aws call that ends in time, or its words on standard error as the detail of a failure.
ask_aws() {
  aws --region "${AWS_REGION}" --cli-connect-timeout "${TIMEOUT_SECONDS}" --cli-read-timeout "${TIMEOUT_SECONDS}" \
    --output text "$@" 2>&1
}

ask_http() {
  curl --silent --show-error --max-time "${TIMEOUT_SECONDS}" --connect-timeout "${TIMEOUT_SECONDS}" "$@" 2>&1
}

check_programs() {
  local missing=() program
  for program in aws curl; do command -v "${program}" >/dev/null 2>&1 || missing+=("${program}"); done
  if ((${#missing[@]})); then record "Programs are there" FAIL "missing: ${missing[*]}"; fi
}

check_ecs() {
  local answer label="ECS service exists and ACTIVE" counts
  if ! answer="$(ask_aws ecs describe-services --cluster "${CLUSTER}" --services "${SERVICE}" \
    --query 'services[0].[status,runningCount,desiredCount]')"; then
    record "${label}" FAIL "aws: ${answer}"
    return
  fi
  read -r -a counts <<<"${answer}"
  if [[ "${counts[0]:-}" != ACTIVE ]]; then
    record "${label}" FAIL "${SERVICE} in ${CLUSTER} is ${counts[0]:-not there}"
  elif [[ "${counts[1]:-}" =~ ^[0-9]+$ && "${counts[2]:-}" =~ ^[0-9]+$ ]] && ((counts[1] < counts[2])); then
    record "${label}" FAIL "${counts[1]} of ${counts[2]} tasks run"
  else
    record "${label}" PASS "${SERVICE}: ${counts[1]:-?} of ${counts[2]:-?} tasks run"
  fi
}

check_health() {
  local answer label="Health endpoint returns 200"
  answer="$(ask_http --output /dev/null --write-out '%{http_code}' "${HEALTH_ENDPOINT}")"
  if [[ "${answer}" == 200 ]]; then record "${label}" PASS; else record "${label}" FAIL "${answer}"; fi
}

# Names and actions of this environment's alarms alone, one alarm a line.
check_alarms() {
  local answer line name action found=0 unwired=()
  local exist="CloudWatch alarms exist (>=${LEAST_ALARMS})" wired="SNS alarm topic wired"
  if ! answer="$(ask_aws cloudwatch describe-alarms --alarm-name-prefix loa-finn- --alarm-types MetricAlarm \
    --query "MetricAlarms[?ends_with(AlarmName, '-${ENVIRONMENT}')].[AlarmName, ActionsEnabled, join(',', AlarmActions || \`[]\`)]")"; then
    record "${exist}" FAIL "aws: ${answer}"
    record "${wired}" FAIL "aws: ${answer}"
    return
  fi
  while IFS=$'\t' read -r name line action; do
    [[ -z "${name}" || "${name}" == None ]] && continue
    found=$((found + 1))
    if [[ "${line}" != True || ",${action}," != *":${TOPIC},"* ]]; then unwired+=("${name}"); fi
  done <<<"${answer}"
  if ((found >= LEAST_ALARMS)); then
    record "${exist}" PASS "${found} alarms of ${ENVIRONMENT}"
  else
    record "${exist}" FAIL "${found} alarms of ${ENVIRONMENT}, at least ${LEAST_ALARMS} are needed"
  fi
  check_topic "${wired}" "${found}" ${unwired[@]+"${unwired[@]}"}
}

# The topic is there, somebody reads it, and every alarm acts on it.
check_topic() {
  local label="$1" found="$2" topics subscriptions arn
  shift 2
  if ! topics="$(ask_aws sns list-topics --query 'Topics[].[TopicArn]')"; then
    record "${label}" FAIL "aws: ${topics}"
    return
  fi
  arn=""
  while read -r line; do [[ "${line}" == *":${TOPIC}" ]] && arn="${line}"; done <<<"${topics}"
  if [[ -z "${arn}" ]]; then
    record "${label}" FAIL "there is no topic ${TOPIC}"
  elif ! subscriptions="$(ask_aws sns list-subscriptions-by-topic --topic-arn "${arn}" --query 'length(Subscriptions)')"; then
    record "${label}" FAIL "aws: ${subscriptions}"
  elif ! [[ "${subscriptions}" =~ ^[1-9][0-9]*$ ]]; then
    record "${label}" FAIL "nobody reads ${TOPIC}"
  elif (($# > 0)); then
    record "${label}" FAIL "without it: $*"
  elif ((found == 0)); then
    record "${label}" FAIL "no alarm acts on ${TOPIC}"
  else
    record "${label}" PASS "${found} alarms act on ${TOPIC}"
  fi
}

check_alarms_green() {
  local answer label="All CloudWatch alarms green"
  if ! answer="$(ask_aws cloudwatch describe-alarms --alarm-name-prefix loa-finn- --alarm-types MetricAlarm \
    --query "MetricAlarms[?ends_with(AlarmName, '-${ENVIRONMENT}') && StateValue != 'OK'].[AlarmName, StateValue]")"; then
    record "${label}" FAIL "aws: ${answer}"
  elif [[ -n "${answer}" && "${answer}" != None ]]; then
    record "${label}" FAIL "${answer//[$'\t\n']/ }"
  else
    record "${label}" PASS
  fi
}

# What the service says about itself; anything but complete lines is a failure of each criterion.
check_service() {
  local gate="$1" answer body code status name detail criterion expected seen=()
  local arguments=(--header "Accept: text/plain" --write-out $'\n%{http_code}')
  if [[ -n "${GATE_TOKEN:-}" ]]; then arguments+=(--header "Authorization: Bearer ${GATE_TOKEN}"); fi
  answer="$(ask_http "${arguments[@]}" "${BASE_URL}/api/v1/gates/${gate}")"
  code="${answer##*$'\n'}"
  body="${answer%$'\n'*}"
  if [[ "${code}" != 200 ]]; then body=""; fi
  for criterion in "${SERVICE_CRITERIA[@]}"; do
    ((${criterion%%:*} > gate)) && continue
    expected="${criterion#*:}"
    seen=(FAIL "the service did not say: ${answer//$'\n'/ }")
    [[ "${code}" == 200 ]] && seen=(FAIL "the service does not know this criterion")
    while IFS=$'\t' read -r status name detail; do
      if [[ "${name}" == "${expected}" && ("${status}" == PASS || "${status}" == FAIL) ]]; then
        seen=("${status}" "${detail}")
      fi
    done <<<"${body}"
    record "${expected}" "${seen[0]}" "${seen[1]}"
  done
}

run_checks() {
  local gate="$1"
  check_programs
  check_ecs
  check_health
  check_alarms
  check_service "${gate}"
  if ((gate == 4)); then check_alarms_green; fi
}

# The criteria there are, asked of nobody.
run_dry() {
  local gate="$1" criterion
  for criterion in "ECS service exists and ACTIVE" "Health endpoint returns 200" \
    "CloudWatch alarms exist (>=${LEAST_ALARMS})" "SNS alarm topic wired"; do
    record "${criterion}" PASS "dry run"
  done
  for criterion in "${SERVICE_CRITERIA[@]}"; do
    if ((${criterion%%:*} <= gate)); then record "${criterion#*:}" PASS "dry run"; fi
  done
  if ((gate == 4)); then record "All CloudWatch alarms green" PASS "dry run"; fi
}

escaped() {
  local text="$1" out="" character code index
  for ((index = 0; index < ${#text}; index++)); do
    character="${text:index:1}"
    case "${character}" in
      '"') out+='\"' ;;
      "${BACKSLASH}") out+="${BACKSLASH}${BACKSLASH}" ;;
      *)
        printf -v code '%d' "'${character}"
        if ((code >= 0 && code < 32)); then printf -v character '\\u%04x' "${code}"; fi
        out+="${character}"
        ;;
    esac
  done
  printf '%s' "${out}"
}

report() {
  local gate="$1" as_json="$2" failed=0 index overall=PASS separator=""
  for index in "${!names[@]}"; do
    if [[ "${statuses[index]}" != PASS ]]; then failed=$((failed + 1)); fi
  done
  if ((failed || ${#names[@]} == 0)); then overall=FAIL; fi
  if [[ "${as_json}" == yes ]]; then
    printf '{"gate":%d,"gate_name":"%s","overall":"%s","passed":%d,"failed":%d,"checks":[' \
      "${gate}" "${GATE_NAMES[gate]}" "${overall}" "$((${#names[@]} - failed))" "${failed}"
    for index in "${!names[@]}"; do
      printf '%s{"name":"%s","status":"%s","detail":"%s"}' "${separator}" "$(escaped "${names[index]}")" \
        "${statuses[index]}" "$(escaped "${details[index]}")"
      separator=,
    done
    printf ']}\n'
  else
    echo "Gate ${gate} (${GATE_NAMES[gate]})"
    for index in "${!names[@]}"; do
      echo "  [${statuses[index]}] ${names[index]}${details[index]:+: ${details[index]//$'\n'/ }}"
    done
    echo "${overall}: $((${#names[@]} - failed)) passed, ${failed} failed"
  fi
  [[ "${overall}" == PASS ]]
}

main() {
  local gate="" as_json=no dry=no argument
  for argument in "$@"; do
    case "${argument}" in
      --json) as_json=yes ;;
      --dry-run) dry=yes ;;
      [0-4])
        if [[ -n "${gate}" ]]; then usage; fi
        gate="${argument}"
        ;;
      *) usage ;;
    esac
  done
  [[ -n "${gate}" && "${TIMEOUT_SECONDS}" =~ ^[1-9][0-9]*$ ]] || usage
  if [[ "${dry}" == yes ]]; then run_dry "${gate}"; else run_checks "${gate}"; fi
  if report "${gate}" "${as_json}"; then exit 0; else exit 1; fi
}

main "$@"
