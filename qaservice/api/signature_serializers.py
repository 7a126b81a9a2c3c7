"""The shapes of signatures, of what is put before a person to be signed, and of second factors."""

from __future__ import annotations

from rest_framework import serializers

from qaservice.signatures.enrolment import Enrolment
from qaservice.signatures.models import Certification, SecondFactor, SigningIntent
from qaservice.signatures.readiness import Step
from qaservice.signatures.services import Offer
from qaservice.signatures.signables import SignableRecord, subject_types
from qaservice.signatures.standing import JudgedSignature, Standing


class SignatureSerializer(serializers.Serializer[JudgedSignature | list[JudgedSignature]]):
    """A signature as it is shown: who, as what, when, with which meaning, on which record, and whether it stands."""

    id = serializers.UUIDField(source="signature.pk")
    name = serializers.CharField(source="signature.printed_name", help_text="as it was when the record was signed")
    role = serializers.CharField(source="signature.role")
    meaning = serializers.CharField(source="signature.meaning")
    meaning_words = serializers.CharField(source="signature.meaning_words")
    signed_at = serializers.DateTimeField(source="signature.signed_at", help_text="UTC, by the server's clock")
    subject_type = serializers.CharField(source="signature.subject_type")
    subject_id = serializers.CharField(source="signature.subject_id")
    subject_version = serializers.CharField(source="signature.subject_version")
    subject_title = serializers.CharField(source="signature.subject_title")
    record_sha256 = serializers.CharField(source="signature.record_sha256")
    factors = serializers.ListField(source="signature.factors", child=serializers.CharField())
    standing = serializers.ChoiceField(choices=Standing.choices)
    why = serializers.CharField(help_text="why it does not stand, empty where it does")
    index = serializers.IntegerField(allow_null=True, help_text="place of its event in the ledger, null until sealed")


class OfferSerializer(serializers.Serializer[Offer]):
    """What the caller's signature on the record could mean, and why it cannot be given now."""

    meaning = serializers.CharField(source="meaning.code")
    words = serializers.CharField(source="meaning.words")
    obstacle = serializers.CharField(help_text="empty where the caller can sign so now")


class SignableRecordSerializer(serializers.Serializer[SignableRecord]):
    """A record that can be signed: ``sha256`` is over the canonical form (RFC 8785) of ``content``."""

    subject_type = serializers.CharField()
    subject_id = serializers.CharField()
    version = serializers.CharField()
    title = serializers.CharField()
    sha256 = serializers.CharField()
    content = serializers.JSONField()


class RecordSignaturesSerializer(serializers.Serializer[dict[str, object]]):
    """A record with its signatures and what the caller could sign."""

    record = SignableRecordSerializer()
    signatures = SignatureSerializer(many=True)
    offers = OfferSerializer(many=True)


class NewIntentSerializer(serializers.Serializer[dict[str, str]]):
    """What is to be signed."""

    subject_type = serializers.ChoiceField(choices=list(subject_types()))
    subject_id = serializers.UUIDField()
    meaning = serializers.CharField()


class IntentSerializer(serializers.ModelSerializer[SigningIntent]):
    """What was put before the caller, for five minutes and one signature."""

    needs_code = serializers.SerializerMethodField(help_text="whether the second factor is asked for too")

    class Meta:
        model = SigningIntent
        fields = (
            "id",
            "subject_type",
            "subject_id",
            "subject_version",
            "record_sha256",
            "meaning",
            "expires_at",
            "needs_code",
        )

    def get_needs_code(self, intent: SigningIntent) -> bool:
        return bool(self.context["needs_code"])


class PasswordSerializer(serializers.Serializer[dict[str, str]]):
    """The caller's password, asked for anew."""

    password = serializers.CharField(trim_whitespace=False, write_only=True)


class SignSerializer(PasswordSerializer):
    """Password, and the code of the second factor with a session's first signature."""

    code = serializers.CharField(required=False, allow_blank=True, default="", write_only=True)


class CodeSerializer(PasswordSerializer):
    """Password and code of the second factor."""

    code = serializers.CharField(write_only=True)


class AttestSerializer(CodeSerializer):
    """The text that is attested, by its version, with both factors."""

    version = serializers.CharField(write_only=True)


class StepSerializer(serializers.Serializer[Step]):
    """One thing to have done before signing."""

    code = serializers.CharField()
    title = serializers.CharField()
    done = serializers.BooleanField()
    words = serializers.CharField()


class ReadinessSerializer(serializers.Serializer[dict[str, object]]):
    """What the caller has done towards signing, and the text to be attested."""

    steps = StepSerializer(many=True)
    attestation_version = serializers.CharField()
    attestation_text = serializers.CharField()


class EnrolmentSerializer(serializers.Serializer[Enrolment]):
    """A second factor to be confirmed. Secret and address are shown this once."""

    secret = serializers.CharField(help_text="base32, in groups of four")
    uri = serializers.CharField(help_text="otpauth address for a QR code")


class SecondFactorSerializer(serializers.ModelSerializer[SecondFactor]):
    """A second factor, without its secret."""

    class Meta:
        model = SecondFactor
        fields = ("id", "state", "begun_at")


class NewCertificationSerializer(serializers.Serializer[dict[str, object]]):
    """The letter to FDA, and why it is noted."""

    reference = serializers.CharField(max_length=200)
    sent_on = serializers.DateField()
    reason = serializers.CharField()


class CertificationSerializer(serializers.ModelSerializer[Certification]):
    """The site's certification to FDA of its electronic signatures (21 CFR 11.100(c))."""

    class Meta:
        model = Certification
        fields = ("reference", "sent_on", "noted_at")
