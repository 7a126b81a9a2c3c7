"""Settings of the service. Everything a site may change comes from environment variables named QASERVICE_..."""

from __future__ import annotations

import shlex
from pathlib import Path

from qaservice.settings import environment

ROOT = Path(__file__).resolve().parents[2]

# "embedded" runs on a bare machine: SQLite, a broker made of files, a secret made at first start.
# "production" refuses to start without its own secret, and `check --deploy` refuses SQLite.
MODE = environment.one_of("QASERVICE_MODE", default="embedded", choices=("embedded", "production"))
EMBEDDED = MODE == "embedded"
DATA_DIR = Path(environment.text("QASERVICE_DATA_DIR", str(ROOT / "var" / "data"))).resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)

SECRET_KEY = environment.secret_key("QASERVICE_SECRET_KEY", key_file=DATA_DIR / "secret-key", embedded=EMBEDDED)
DEBUG = False
ALLOWED_HOSTS = environment.words("QASERVICE_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = environment.words("QASERVICE_TRUSTED_ORIGINS", "")
BEHIND_TLS = environment.flag("QASERVICE_BEHIND_TLS", default=not EMBEDDED)

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    # Before simple_history, so that its commands, which purge or rewrite history, are found as refusals first.
    "compliance.apps.ComplianceConfig",
    "simple_history",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "qaservice.accounts.apps.AccountsConfig",
    "qaservice.projects.apps.ProjectsConfig",
    "qaservice.signatures.apps.SignaturesConfig",
    "qaservice.jobs.apps.JobsConfig",
    "qaservice.storage.apps.StorageConfig",
    "qaservice.studies.apps.StudiesConfig",
    "qaservice.labels.apps.LabelsConfig",
    "qaservice.analysis.apps.AnalysisConfig",
    "qaservice.review.apps.ReviewConfig",
    "qaservice.reports.apps.ReportsConfig",
    "qaservice.trail.apps.TrailConfig",
    "qaservice.retention.apps.RetentionConfig",
    "qaservice.api.apps.ApiConfig",
    "qaservice.portal.apps.PortalConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "qaservice.portal.security.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "qaservice.accounts.middleware.SessionGuard",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "qaservice.portal.viewing.ViewingsOnRecord",
]

ROOT_URLCONF = "qaservice.urls"
WSGI_APPLICATION = "qaservice.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "qaservice.portal.context.site",
            ],
        },
    },
]

DATABASES = {"default": environment.database("QASERVICE_DATABASE_URL", default_sqlite=DATA_DIR / "qaservice.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
QASERVICE_RUNTIME_DB_ROLE = environment.text("QASERVICE_RUNTIME_DB_ROLE", "")

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "portal:login"
LOGIN_REDIRECT_URL = "portal:home"
LOGOUT_REDIRECT_URL = "portal:login"
AUTHENTICATION_BACKENDS = ["qaservice.accounts.backends.PasswordBackend"]
# All that a person can reach whose password has to be changed first.
ROUTES_BEFORE_PASSWORD_CHANGE = ("portal:password", "portal:logout", "api:own-password", "api:session-end")
# Fetched by pages without anybody's doing: they keep no session alive.
ROUTES_FETCHED_BY_PAGES = ("api:progress",)
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("username", "display_name", "email")},
    },
    {"NAME": "qaservice.accounts.validators.NoPersonalWord"},
    {"NAME": "qaservice.accounts.validators.NotUsedBefore"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
# Fifteen idle minutes; each request renews the session, and a user cannot switch this off (REQ-07).
SESSION_COOKIE_AGE = environment.whole_number("QASERVICE_IDLE_LOGOUT_SECONDS", default=900, least=60)
SESSION_SAVE_EVERY_REQUEST = True
SESSION_LIFETIME_SECONDS = environment.whole_number("QASERVICE_SESSION_LIFETIME_SECONDS", default=12 * 3600, least=300)
# So many failures within the window lock for a time: an account or a name, and, later, a whole network address.
LOCKOUT_FAILURES = environment.whole_number("QASERVICE_LOCKOUT_FAILURES", default=5, least=2)
LOCKOUT_ADDRESS_FAILURES = environment.whole_number("QASERVICE_LOCKOUT_ADDRESS_FAILURES", default=50, least=5)
LOCKOUT_WINDOW_SECONDS = environment.whole_number("QASERVICE_LOCKOUT_WINDOW_SECONDS", default=900, least=60)
LOCKOUT_SECONDS = environment.whole_number("QASERVICE_LOCKOUT_SECONDS", default=900, least=60)
# How many of its last passwords an account may not have again, and after how many days one must change; 0 for never.
PASSWORD_HISTORY = environment.whole_number("QASERVICE_PASSWORD_HISTORY", default=5, least=1)
PASSWORD_DAYS = environment.whole_number("QASERVICE_PASSWORD_DAYS", default=0, least=0)
TOKEN_MOST_DAYS = environment.whole_number("QASERVICE_TOKEN_MOST_DAYS", default=365, least=1)
TOKEN_DAYS = min(90, TOKEN_MOST_DAYS)
# After how many days somebody has to look again whether a person still needs a role (REQ-29).
ACCESS_REVIEW_DAYS = environment.whole_number("QASERVICE_ACCESS_REVIEW_DAYS", default=180, least=1)
# How many proxies of the site's own stand before it; a lock on an address needs to know whose address it is.
PROXIES = environment.whole_number("QASERVICE_PROXIES", default=int(BEHIND_TLS), least=0)
# Alerts are mailed to administrators where a server is named: smtp://user:password@host:587?tls=true&from=qa@example.org
MAIL_CONFIGURED, _MAIL = environment.mail("QASERVICE_MAIL_URL")
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST, EMAIL_PORT, EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _MAIL.host, _MAIL.port, _MAIL.user, _MAIL.password
EMAIL_USE_TLS, EMAIL_USE_SSL, EMAIL_TIMEOUT, DEFAULT_FROM_EMAIL = _MAIL.tls, _MAIL.ssl, 10, _MAIL.sender
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = BEHIND_TLS
SECURE_HSTS_SECONDS = 31536000 if BEHIND_TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = BEHIND_TLS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "static/"
STATIC_ROOT = Path(environment.text("QASERVICE_STATIC_ROOT", str(DATA_DIR / "static")))
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
# Serves straight from the apps, so that the embedded site needs no collectstatic.
WHITENOISE_USE_FINDERS = True
# One upload may carry a whole study; it is streamed to disk, never held in memory.
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
FILE_UPLOAD_TEMP_DIR = str(DATA_DIR / "uploads")
Path(FILE_UPLOAD_TEMP_DIR).mkdir(parents=True, exist_ok=True)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "qaservice.api.authentication.BearerTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 100,
    "EXCEPTION_HANDLER": "qaservice.api.errors.problem_response",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Label QA service",
    "DESCRIPTION": "Quality assurance of medical-imaging labels, with an audit trail. Not for clinical use.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    # Two fields of one name, each with choices of its own.
    "ENUM_NAME_OVERRIDES": {
        "LabelFormatEnum": "imaging.writers.names.WRITTEN_FORMATS",
        "TrailFormatEnum": "qaservice.trail.exporting.FORMAT_NAMES",
    },
}

BROKER_DIR = DATA_DIR / "broker"
CELERY_BROKER_URL = environment.text("QASERVICE_BROKER_URL", "filesystem://localhost/")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
if CELERY_BROKER_URL.startswith("filesystem"):
    for folder in ("in", "processed", "control"):
        (BROKER_DIR / folder).mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        # In and out are one folder: the worker and the sender share it.
        "data_folder_in": str(BROKER_DIR / "in"),
        "data_folder_out": str(BROKER_DIR / "in"),
        "processed_folder": str(BROKER_DIR / "processed"),
        "control_folder": str(BROKER_DIR / "control"),
        "store_processed": False,
        "polling_interval": 0.05,
    }

# Jobs: a lease not renewed for this long belongs to a dead worker, and the reaper gives the job to another.
JOB_LEASE_SECONDS = environment.whole_number("QASERVICE_JOB_LEASE_SECONDS", default=30, least=5)
# Opens every project's secret and the crosswalk. Where it lies by default it lies beside what it protects, which
# `check --deploy` refuses; in production it is never made by itself.
IDENTITY_KEY_FILE = Path(environment.text("QASERVICE_IDENTITY_KEY_FILE", str(DATA_DIR / "identity-key")))
# Signed heads of the ledger go here, out of reach of whoever can rewrite the database; best on another machine.
CHECKPOINT_DIR = Path(environment.text("QASERVICE_CHECKPOINT_DIR", str(DATA_DIR / "checkpoints")))
LEDGER_KEY_FILE = Path(environment.text("QASERVICE_LEDGER_KEY_FILE", str(DATA_DIR / "ledger-key")))
# How long an alteration can stay without contradicting a signed head; exports and signatures do not wait for it.
CHECKPOINT_SECONDS = environment.whole_number("QASERVICE_CHECKPOINT_SECONDS", default=60, least=1)
# Copies of checkpoints in a bucket with Object Lock: s3://bucket/prefix?region=...&endpoint=...&retain_days=3653
CHECKPOINT_BUCKET = environment.text("QASERVICE_CHECKPOINT_BUCKET", "")
# A program of the site's own that signs checkpoints in place of the key file, and the public key that it signs under.
LEDGER_SIGNER = tuple(shlex.split(environment.text("QASERVICE_LEDGER_SIGNER", "")))
LEDGER_SIGNER_KEY = environment.text("QASERVICE_LEDGER_SIGNER_KEY", "")
# Who time-stamps checkpoints (RFC 3161), how old the last stamp may be, and the certificates its signature rests on.
TSA_URL = environment.text("QASERVICE_TSA_URL", "")
TSA_SECONDS = environment.whole_number("QASERVICE_TSA_SECONDS", default=3600, least=1)
TSA_CA_FILE = environment.text("QASERVICE_TSA_CA_FILE", "") or None
# How far the server's clock may stand apart from the database's and the time-stamps' before an administrator is told.
CLOCK_SECONDS = environment.whole_number("QASERVICE_CLOCK_SECONDS", default=5, least=1)
BLOB_DIR = DATA_DIR / "blobs"
DERIVED_DIR = DATA_DIR / "derived"
MODEL_BUNDLE = Path(environment.text("QASERVICE_MODEL_BUNDLE", str(ROOT / "imaging" / "bundles" / "lung_nodule_qa")))
INFERENCE_THREADS = environment.whole_number("QASERVICE_INFERENCE_THREADS", default=2, least=1)
# Written out, since settings import nothing of the house; a test holds them to what the core knows.
INFERENCE_BACKENDS = ("auto", "cuda", "openvino-f32", "openvino-bf16", "torch")
INFERENCE_BACKEND = environment.one_of("QASERVICE_INFERENCE_BACKEND", default="auto", choices=INFERENCE_BACKENDS)
# Bounds on one run of a bundle that others made: seconds a series, and memory beyond what its libraries hold.
FOREIGN_SECONDS = environment.whole_number("QASERVICE_FOREIGN_SECONDS", default=3600, least=1)
FOREIGN_MEMORY_BYTES = environment.whole_number(
    "QASERVICE_FOREIGN_MEMORY_BYTES", default=12 * 1024**3, least=256 * 1024**2
)
MAX_UPLOAD_BYTES = environment.whole_number("QASERVICE_MAX_UPLOAD_BYTES", default=8 * 1024**3, least=1024)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": environment.text("QASERVICE_LOG_LEVEL", "WARNING")},
}
SILENCED_SYSTEM_CHECKS: list[str] = []
