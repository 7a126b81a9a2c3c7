"""Signing end to end through the API and the portal: by a person's session, never by a token or a cookie alone."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from compliance.recording import SYSTEM
from qaservice.accounts.models import Alert
from qaservice.accounts.passwords import change_own_password
from qaservice.accounts.services import issue_token
from qaservice.signatures.models import Signature
from tests.factories.records import PASSWORD, make_user
from tests.qaservice.signatures.signing_site import OWN_PASSWORD, Clock, Signer, SigningSite, identify

RECORD = ("record-signatures", "subject_type", "subject_id")


def at(signer: Signer) -> Client:
    client = Client()
    assert client.login(username=signer.user.username, password=OWN_PASSWORD)
    return client


def post(client: Client, name: str, data: dict[str, Any], **arguments: Any) -> Any:
    return client.post(reverse(f"api:{name}", kwargs=arguments), data, content_type="application/json")


def asked(site: SigningSite, meaning: str) -> dict[str, str]:
    return {"subject_type": site.subject[0], "subject_id": site.subject[1], "meaning": meaning}


@pytest.mark.requirement("REQ-22")
@pytest.mark.requirement("REQ-27")
def test_a_report_is_signed_through_the_api_and_shows_as_approved(site: SigningSite):
    clients = {id(one): at(one) for one in (site.author, site.auditor, site.approver)}
    for signer, meaning, codes in (
        (site.author, "responsible", True),
        (site.auditor, "reviewed", True),
        (site.auditor, "trail-reviewed", False),
        (site.approver, "approved", True),
    ):
        client = clients[id(signer)]
        report = client.get(reverse("api:report", kwargs={"report_id": site.report.pk})).json()
        assert (report["draft"], report["approved"]) == (True, False)
        intent = post(client, "signing-intents", asked(site, meaning)).json()
        assert intent["needs_code"] is codes
        given = {"password": OWN_PASSWORD, **({"code": signer.code()} if codes else {})}
        answer = post(client, "sign", given, intent_id=intent["id"])
        assert answer.status_code == 201, answer.content
        assert answer.json()["standing"] == "valid" and answer.json()["index"] is not None
        again = post(client, "sign", given, intent_id=intent["id"])
        assert (again.status_code, again.json()["code"]) == (409, "intent-used")
    client = clients[id(site.author)]
    report = client.get(reverse("api:report", kwargs={"report_id": site.report.pk})).json()
    assert (report["draft"], report["approved"], report["signatures"]) == (False, True, 4)
    listed = client.get(reverse("api:signatures", kwargs={"key": "lung"})).json()
    assert [one["meaning"] for one in listed] == ["approved", "trail-reviewed", "reviewed", "responsible"]
    held = client.get(reverse("api:record-signatures", kwargs=dict(zip(RECORD[1:], site.subject, strict=True)))).json()
    assert held["record"]["sha256"] == listed[0]["record_sha256"] and len(held["signatures"]) == 4
    assert {one["meaning"] for one in held["offers"] if not one["obstacle"]} == set()
    page = client.get(reverse("api:report-signature-page", kwargs={"report_id": site.report.pk}))
    assert page.content.startswith(b"%PDF")


@pytest.mark.requirement("REQ-27")
@pytest.mark.requirement("REQ-29")
def test_neither_a_token_nor_a_cookie_alone_signs_and_strangers_see_nothing(site: SigningSite):
    token = issue_token(user=site.author.user, label="program", actor=SYSTEM, reason="imports")
    by_token = {"Authorization": f"Bearer {token}"}
    program = Client(headers=by_token)
    refused = post(program, "signing-intents", asked(site, "responsible"))
    assert (refused.status_code, refused.json()["code"]) == (403, "token-signs")
    client = at(site.author)
    intent = post(client, "signing-intents", asked(site, "responsible")).json()["id"]
    both = Client(headers=by_token)
    both.cookies = client.cookies
    proof = {"password": OWN_PASSWORD, "code": site.author.code()}
    assert post(both, "sign", proof, intent_id=intent).json()["code"] == "token-signs"
    for given, code in (
        ({}, 400),
        ({"password": ""}, 400),
        ({"password": OWN_PASSWORD}, 400),
        ({"password": "guess", "code": "1"}, 403),
    ):
        assert post(client, "sign", given, intent_id=intent).status_code == code
    assert Alert.objects.get(kind="signing-failed").about_id == str(site.author.user.pk)
    assert post(at(site.approver), "sign", proof, intent_id=intent).status_code == 404
    change_own_password(user=make_user("stranger"), old=PASSWORD, new=OWN_PASSWORD)
    stranger = Client()
    assert stranger.login(username="stranger", password=OWN_PASSWORD)
    arguments = dict(zip(RECORD[1:], site.subject, strict=True))
    assert stranger.get(reverse("api:record-signatures", kwargs=arguments)).status_code == 404
    assert not Signature.objects.exists()
    for address in ("second-factor-revoke", "signature-certification"):
        kwargs = {"user_id": site.author.user.pk} if address == "second-factor-revoke" else {}
        answer = post(client, address, {"reason": "x", "reference": "x", "sent_on": "2026-01-01"}, **kwargs)
        assert answer.status_code == 403, address


@pytest.mark.requirement("REQ-19")
@pytest.mark.requirement("REQ-26")
def test_a_person_becomes_a_signer_and_loses_the_factor_through_the_api(site: SigningSite):
    user = change_own_password(user=make_user("newcomer"), old=PASSWORD, new=OWN_PASSWORD)
    identify(user, by=site.administrators[0])
    signer = Signer(user, site.time)
    client = at(signer)
    begun = post(client, "my-second-factor", {"password": OWN_PASSWORD})
    assert begun.status_code == 201
    signer.secret = base64.b32decode(begun.json()["secret"].replace(" ", ""))
    confirmed = post(client, "my-second-factor-confirm", {"password": OWN_PASSWORD, "code": signer.code()})
    assert confirmed.json()["state"] == "confirmed" and "secret" not in confirmed.json()
    steps = client.get(reverse("api:my-signing")).json()
    proof = {"password": OWN_PASSWORD, "code": signer.code(), "version": steps["attestation_version"]}
    assert all(one["done"] for one in post(client, "my-attestation", proof).json()["steps"])
    admin = Client()
    assert admin.login(username="admin-b", password=PASSWORD) and change_own_password(
        user=site.administrators[1], old=PASSWORD, new=OWN_PASSWORD
    )
    admin = Client()
    assert admin.login(username="admin-b", password=OWN_PASSWORD)
    assert post(admin, "second-factor-revoke", {"reason": ""}, user_id=user.pk).status_code == 400
    assert post(admin, "second-factor-revoke", {"reason": "stolen"}, user_id=user.pk).json()["state"] == "revoked"
    noted = {"reference": "letter 1", "sent_on": "2026-01-05", "reason": "sent"}
    assert client.get(reverse("api:signature-certification")).status_code == 404
    assert post(admin, "signature-certification", noted).status_code == 201
    assert client.get(reverse("api:signature-certification")).json()["reference"] == "letter 1"


@pytest.mark.requirement("REQ-22")
@pytest.mark.requirement("REQ-27")
def test_a_person_enrols_and_signs_in_the_portal(site: SigningSite, time: Clock):
    client = at(site.author)
    record = f"/projects/lung/signatures/report/{site.report.pk}/"
    assert b"No signature yet" in client.get(record).content
    led = client.post(f"{record}prepare/", {"meaning": "responsible"})
    page = client.get(led.url)
    assert b"Code of your second factor" in page.content and site.report.document_id.encode() in page.content
    wrong = client.post(led.url, {"password": "guess", "code": site.author.code()})
    assert wrong.status_code == 403 and b"was wrong" not in wrong.content and b"is wrong" in wrong.content
    done = client.post(led.url, {"password": OWN_PASSWORD, "code": site.author.code()}, follow=True)
    assert b"Signed: Responsible for the content, by Lung-Lead." in done.content and b"UTC" in done.content
    replayed = client.post(led.url, {"password": OWN_PASSWORD, "code": site.author.code()}, follow=True)
    assert b"signed already" in replayed.content
    refused = client.post(f"{record}prepare/", {"meaning": "approved"}, follow=True)
    assert b"You made this report" in refused.content
    assert at(site.approver).get(led.url).status_code == 404
    for address in ("signatures/", "reports/", f"signatures/dataset-version/{site.version_subject[1]}/"):
        assert client.get(f"/projects/lung/{address}").status_code == 200
    assert client.get(f"/projects/lung/signatures/report/{site.project.pk}/").status_code == 404
    user = change_own_password(user=make_user("newcomer"), old=PASSWORD, new=OWN_PASSWORD)
    identify(user, by=site.administrators[0])
    signer = Signer(user, time)
    own = at(signer)
    assert b"Show the code to scan" in own.get("/account/signing/").content
    assert own.post("/account/signing/enrol/", {"password": "guess"}).status_code == 403
    shown = own.post("/account/signing/enrol/", {"password": OWN_PASSWORD}).content.decode()
    found = re.search(r"<code>([A-Z2-7 ]{39})</code>", shown)
    assert found is not None and "data:image/svg+xml;base64," in shown
    signer.secret = base64.b32decode(found[1].replace(" ", ""))
    own.post("/account/signing/confirm/", {"password": OWN_PASSWORD, "code": signer.code()})
    proof = {"password": OWN_PASSWORD, "code": signer.code(), "version": "1"}
    assert b"tick that you attest" in own.post("/account/signing/attest/", proof, follow=True).content.lower()
    told = own.post("/account/signing/attest/", {**proof, "agreed": "yes"}, follow=True)
    assert b"you can sign" in told.content and b"What you attested" in told.content
    assert own.get("/administration/signing/").status_code == 403
