"""Record's attributes for clouds: one store, whole, or none; what is wrong is told without what is secret."""

from __future__ import annotations

import pytest
from flexml.engine.errors import DocumentError
from flexml.engine.flexml.document import parse
from flexml.engine.flexml.verbs.record import Record

from ..virtual_time import run
from .fakes import FakeCall

AWS = 'awsAccessKey="AKIA" awsBucketName="bucket" awsSecretKey="hush"'
GCP = 'gcpBucketName="bucket" gcpProject="project"'
REFRESH = 'gcpRefreshToken="hush" gcpClientId="client" gcpClientSecret="hush"'
AZURE = 'azureAccountName="account" azureContainerName="container"'
EITHER_KEY = "azureAccountKey, or azureSasToken for Azure Blob Storage"
EITHER_TOKEN = "gcpAccessToken, or gcpRefreshToken, gcpClientId and gcpClientSecret for Google Cloud Storage"


def record(attributes: str) -> Record:
    (verb,) = parse(f"<Response>\n<Record {attributes}/></Response>".encode(), url="http://app/").verbs
    assert isinstance(verb, Record)
    return verb


@pytest.mark.parametrize(
    ("attributes", "names"),
    [
        ("", []),
        ('awsAccessKey="" gcpProject=" " azureSasToken=""', []),
        (AWS, ["aws_access_key", "aws_bucket_name", "aws_secret_key"]),
        (f'{AWS} azureSasToken=""', ["aws_access_key", "aws_bucket_name", "aws_secret_key"]),
        (f'{GCP} gcpAccessToken="hush"', ["gcp_access_token", "gcp_bucket_name", "gcp_project"]),
        (f'{AZURE} azureAccountKey="hush"', ["azure_account_key", "azure_account_name", "azure_container_name"]),
        (f'{AZURE} azureSasToken="hush"', ["azure_account_name", "azure_container_name", "azure_sas_token"]),
    ],
)
def test_a_store_is_named_whole_or_not_at_all(attributes: str, names: list[str]) -> None:
    assert sorted(record(attributes).request().external) == names


def test_a_refresh_token_may_stand_for_an_access_token_or_beside_it() -> None:
    assert len(record(f"{GCP} {REFRESH}").request().external) == 5
    assert len(record(f'{GCP} {REFRESH} gcpAccessToken="hush"').request().external) == 6


@pytest.mark.parametrize(
    ("attributes", "attribute", "says"),
    [
        ('awsAccessKey="AKIA"', "awsBucketName", "missing; allowed: awsAccessKey, awsBucketName and awsSecretKey for"),
        ('awsAccessKey="AKIA" awsBucketName="bucket"', "awsSecretKey", "missing"),
        ('gcpProject="project"', "gcpBucketName", "missing; allowed: gcpBucketName and gcpProject for Google"),
        (GCP, "gcpAccessToken", f"missing; allowed: {EITHER_TOKEN}"),
        (f'{GCP} gcpRefreshToken="hush" gcpClientId="c"', "gcpClientSecret", f"missing; allowed: {EITHER_TOKEN}"),
        (AZURE, "azureAccountKey", f"missing; allowed: {EITHER_KEY}"),
        ('azureSasToken="hush"', "azureAccountName", "missing"),
        (
            f'{AWS} {AZURE} azureSasToken="hush"',
            "azureAccountName",
            "Azure Blob Storage beside Amazon S3; allowed: attributes of one store",
        ),
        (f'{AWS} gcpProject="project"', "gcpProject", "Google Cloud Storage beside Amazon S3"),
        (AWS.replace("bucket", "hush/hush"), "awsBucketName", "value; allowed: 3 to 222 letters"),
        (AZURE.replace("account", "hush.example/"), "azureAccountName", "value; allowed: 3 to 24 lower case"),
        (f'{AZURE} azureSasToken="hush&#10;x"', "azureSasToken", "value; allowed: text without control"),
    ],
)
def test_what_does_not_go_together_is_a_document_error(attributes: str, attribute: str, says: str) -> None:
    with pytest.raises(DocumentError) as caught:
        record(attributes)
    assert (caught.value.verb, caught.value.attribute, caught.value.line) == ("Record", attribute, 2)
    assert says in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("attributes", "notes"),
    [
        ("", []),
        ('fileSid="x" lifecycleTtl="7" integerKey1="0"', ["fileSid, lifecycleTtl, integerKey1"]),
        ('containerSid="x" stringKey1="y" stringKey2=""', ["containerSid, stringKey1"]),
    ],
)
def test_what_means_nothing_in_a_cloud_is_told(attributes: str, notes: list[str]) -> None:
    call = FakeCall()
    run(record(f'{AWS} recordSession="true" {attributes}').run(call))
    assert call.notes == [f"Record: without effect in a cloud line=2 attributes={names}" for names in notes]


def test_in_our_own_storage_all_of_it_means_something() -> None:
    call = FakeCall()
    run(record('recordSession="true" fileSid="x" lifecycleTtl="7"').run(call))
    assert call.notes == []
