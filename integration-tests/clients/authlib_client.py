"""A client of a second family: Authlib over requests. Speaks JSON lines with the suite that drives the browser.

    authlib_client.py ISSUER code CLIENT_ID REDIRECT_URI
    authlib_client.py ISSUER device CLIENT_ID

It prints one object per step and reads what the browser brought, one object per line.
"""

import json
import sys
import time

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, jwt
from authlib.oidc.core import CodeIDToken

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def say(**members):
    print(json.dumps(members), flush=True)


def hear():
    return json.loads(sys.stdin.readline())


def verified(metadata, client_id, token, nonce=None):
    """The claims of the id_token, checked with nothing but the published keys."""
    keys = JsonWebKey.import_key_set(requests.get(metadata["jwks_uri"], timeout=20).json())
    claims = jwt.decode(
        token["id_token"],
        keys,
        claims_cls=CodeIDToken,
        claims_options={
            "iss": {"essential": True, "value": metadata["issuer"]},
            "aud": {"essential": True, "value": client_id},
        },
        claims_params={"nonce": nonce, "client_id": client_id, "access_token": token["access_token"]},
    )
    claims.validate()
    return claims


def rest(metadata, session, client_id, token, nonce=None):
    """What both flows do with their tokens."""
    claims = verified(metadata, client_id, token, nonce)
    info = session.get(metadata["userinfo_endpoint"]).json()
    old = token["refresh_token"]
    fresh = session.refresh_token(metadata["token_endpoint"], refresh_token=old)
    again = verified(metadata, client_id, fresh)
    revoked = session.revoke_token(metadata["revocation_endpoint"], token=fresh["refresh_token"])
    after = session.get(metadata["userinfo_endpoint"])
    say(
        sub=claims["sub"],
        userinfo=info,
        rotated=fresh["refresh_token"] != old,
        refreshed_sub=again["sub"],
        revoked=revoked.status_code,
        after_revocation=after.status_code,
    )


def code_flow(metadata, client_id, redirect_uri):
    session = OAuth2Session(
        client_id,
        redirect_uri=redirect_uri,
        scope="openid profile email",
        code_challenge_method="S256",
        token_endpoint_auth_method="none",
        revocation_endpoint_auth_method="none",
    )
    verifier, nonce = generate_token(48), generate_token(20)
    url, _state = session.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce
    )
    say(url=url)
    answer = hear()["redirect"]
    token = session.fetch_token(metadata["token_endpoint"], authorization_response=answer, code_verifier=verifier)
    rest(metadata, session, client_id, token, nonce)


def device_flow(metadata, client_id):
    session = OAuth2Session(
        client_id, token_endpoint_auth_method="none", revocation_endpoint_auth_method="none"
    )
    form = {"client_id": client_id, "scope": "openid profile email"}
    device = requests.post(metadata["device_authorization_endpoint"], data=form, timeout=20).json()
    say(user_code=device["user_code"], verification_uri=device["verification_uri"])
    hear()
    form = {"grant_type": DEVICE_GRANT, "device_code": device["device_code"], "client_id": client_id}
    for _ in range(5):
        answer = requests.post(metadata["token_endpoint"], data=form, timeout=20).json()
        if answer.get("error") not in ("authorization_pending", "slow_down"):
            break
        time.sleep(device["interval"] + 1)
    session.token = answer
    rest(metadata, session, client_id, answer)


def main():
    issuer, flow, client_id = sys.argv[1:4]
    metadata = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=20).json()
    if flow == "code":
        code_flow(metadata, client_id, sys.argv[4])
    else:
        device_flow(metadata, client_id)


main()
