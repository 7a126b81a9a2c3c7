#!/bin/sh
# Everything that can be said about the code without running it. Each step runs even if an earlier one failed.
set -u
cd "$(dirname "$0")/../.." || exit 1
bin=.venv/bin
failed=
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Checks must not touch the site's data, nor depend on what a site has set.
for name in $(env | sed -nE 's/^(QASERVICE_[A-Z_]+)=.*/\1/p'); do unset "$name"; done
export QASERVICE_DATA_DIR="$scratch/data"

step() {
    name=$1
    shift
    start=$(date +%s)
    if "$@" > "$scratch/output" 2>&1; then
        printf 'ok      %-32s %3s s\n' "$name" "$(($(date +%s) - start))"
    else
        printf 'FAILED  %-32s %3s s\n' "$name" "$(($(date +%s) - start))"
        sed 's/^/    /' "$scratch/output"
        failed="$failed, $name"
    fi
}

deployment() {
    # Values of a regulated site. Nothing connects to them: these checks look at settings.
    QASERVICE_MODE=production QASERVICE_SECRET_KEY="$($bin/python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
    QASERVICE_ALLOWED_HOSTS=qa.example.org QASERVICE_TRUSTED_ORIGINS=https://qa.example.org \
    QASERVICE_DATABASE_URL=postgresql://qaservice_run:secret@127.0.0.1:5432/qaservice \
    QASERVICE_IDENTITY_KEY_FILE=/etc/qaservice/identity-key \
    QASERVICE_LEDGER_KEY_FILE=/etc/qaservice/keys/ledger-key QASERVICE_CHECKPOINT_DIR=/var/lib/qaservice-checkpoints \
    QASERVICE_RUNTIME_DB_ROLE=qaservice_run QASERVICE_BROKER_URL=amqp://qaservice:secret@127.0.0.1:5672// \
        $bin/python manage.py check --deploy --fail-level WARNING
}

sqlite_refused_in_production() {
    QASERVICE_MODE=production QASERVICE_SECRET_KEY="$($bin/python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
        QASERVICE_ALLOWED_HOSTS=qa.example.org $bin/python manage.py check --deploy --fail-level WARNING 2>&1 |
        tee /dev/stderr | grep -q compliance.E007
}

schema() {
    $bin/python manage.py spectacular --validate --fail-on-warn --file "$scratch/openapi.yaml" &&
        diff -u docs/openapi.yaml "$scratch/openapi.yaml" ||
        { echo "docs/openapi.yaml is not what the code says. Remedy: make schema, and read the difference."; return 1; }
}

step "ruff check" $bin/ruff check .
step "ruff format" $bin/ruff format --check .
step "import contracts" $bin/lint-imports
step "mypy --strict" $bin/mypy imaging compliance qaservice
step "portal types" npm --prefix qaservice/portal/frontend run --silent check
step "migrations complete" $bin/python manage.py makemigrations --check --dry-run
step "system checks" $bin/python manage.py check --fail-level WARNING
step "deployment checks" deployment
step "SQLite refused in production" sqlite_refused_in_production
step "API schema" schema
[ -z "$failed" ] || { echo "make check failed:${failed#,}" >&2; exit 1; }
