"""Whether credentials and model access are there."""

from collections.abc import Iterator

from cachepoint.cli.doctor.findings import Finding, Level
from cachepoint.cli.doctor.setup import Refusal, Service, Setup

_SIGN_IN = "aws configure, aws sso login, AWS_PROFILE, or AWS_BEARER_TOKEN_BEDROCK"
# What is done about an error: its code, words of its message, how bad it is, and the remedy. The first that
# fits counts.
_REMEDIES: tuple[tuple[str, str, Level, str], ...] = (
    ("AccessDeniedException", "API Key", "fault", "make a new key: AWS_BEARER_TOKEN_BEDROCK is not valid"),
    (
        "AccessDeniedException",
        "",
        "fault",
        "allow bedrock:InvokeModel on the model and its profile, and ask for access in the Bedrock console",
    ),
    ("UnrecognizedClientException", "", "fault", f"the credentials are not valid: {_SIGN_IN}"),
    (
        "InvalidSignatureException",
        "",
        "fault",
        f"the secret or the clock of this machine is wrong: {_SIGN_IN}",
    ),
    ("ExpiredTokenException", "", "fault", f"the credentials have expired: {_SIGN_IN}"),
    ("MissingAuthenticationTokenException", "", "fault", f"sign in: {_SIGN_IN}"),
    ("NoCredentialsError", "", "fault", f"sign in: {_SIGN_IN}"),
    (
        "ValidationException",
        "on-demand",
        "fault",
        "call it through a profile: put global. or us. in front of the id",
    ),
    (
        "ValidationException",
        "identifier is invalid",
        "fault",
        "see that the id is right, and that this Region has it",
    ),
    (
        "ResourceNotFoundException",
        "",
        "fault",
        "the model has ended or is not in this Region: choose another",
    ),
    ("ThrottlingException", "", "note", "the model is there, and its quota is used up for now"),
    (
        "EndpointConnectionError",
        "",
        "fault",
        "see that this machine reaches AWS, and that the Region is right",
    ),
    ("ConnectTimeoutError", "", "fault", "see that this machine reaches AWS"),
    ("UnknownServiceError", "", "fault", 'pip install -U "boto3>=1.40"'),
    ("ProfileNotFound", "", "fault", "see that AWS_PROFILE names a profile of ~/.aws/config"),
)


def credentials(setup: Setup) -> Iterator[Finding]:
    """Whether AWS knows who calls, and in which Region."""
    service = setup.service
    if service is None:
        return
    if service.refusal is not None and not service.called:
        yield refused("boto3 makes no session", service.refusal)
        return
    if not service.credentials:
        yield Finding("fault", "there are no credentials for AWS", f"sign in: {_SIGN_IN}")
    if not service.region:
        yield Finding("fault", "no Region is named", "set AWS_REGION, or give --region")
    if service.credentials and service.region:
        yield Finding("ok", f"credentials from {service.credentials}, Region {service.region}")


def access(setup: Setup) -> Iterator[Finding]:
    """Whether the model answers, and whether AWS tells which one is behind a profile."""
    service, asked = setup.service, setup.asked
    if service is None or asked is None:
        return
    yield from _behind(service, asked.model)
    if service.refusal is not None:
        if service.called:
            yield refused(f"{asked.model} does not answer", service.refusal)
    elif service.called:
        yield Finding("ok", f"{asked.model} answers at {service.endpoint}")


def _behind(service: Service, arn: str) -> Iterator[Finding]:
    if service.behind is not None:
        yield Finding(
            "ok",
            f"AWS says that {service.behind} is behind {arn}",
            f"give base_model_id={service.behind!r}, or a bedrock client that asks",
        )
    elif service.hidden is not None:
        yield Finding(
            "fault",
            f"AWS does not say which model is behind {arn}: {service.hidden.code}: {service.hidden.message}",
            "allow bedrock:GetInferenceProfile, or give base_model_id=",
        )


def refused(what: str, error: Refusal) -> Finding:
    """What an error means, and what to do about it."""
    fitting = (row for row in _REMEDIES if row[0] == error.code and row[1] in error.message)
    _, _, level, remedy = next(fitting, ("", "", "fault", "see what is said there"))
    return Finding(level, f"{what}: {error.code}: {error.message}", remedy)
