"""Record's attributes for clouds on the wire: each opens its store, and with another value it does not."""

import re

import pytest
from attribute_table import Call, Scenario, shows
from cloud_fronts import GCP_PROJECT
from clouds import (
    AWS,
    AZURE,
    AZURE_SAS,
    BUCKET,
    GCP,
    GCP_CLIENT,
    GIVEN_UP_S,
    Clouds,
    attributes,
    sas,
)
from engine_process import EngineProcess
from hearing import share_at
from recorded import NO_CONTENT, TALK, samples_of

STORES = {"aws": AWS, "gcp": GCP, "gcp-client": GCP_CLIENT, "azure": AZURE, "azure-sas": AZURE_SAS}
OTHER_KEY = "bm90IHRoZSBrZXk="


@pytest.fixture(scope="module")
def engine_session(cloud_engine: EngineProcess) -> EngineProcess:
    return cloud_engine


def record(store: str) -> Scenario:
    """A message into a cloud."""
    return Scenario(
        document=f'<Record maxLength="1" action="next" errorAction="failed" callbackUrl="told" {store}/>',
        serve={"failed": "<Hangup/>", "told": NO_CONTENT},
        speech=TALK,
    )


@shows(*(f"Record.{name}" for store in STORES.values() for name in store))
@pytest.mark.parametrize(
    ("call", "store"),
    [(record(attributes(store)), name) for name, store in STORES.items()],
    ids=list(STORES),
    indirect=["call"],
)
def test_a_recording_lies_in_the_store_that_the_document_names(call: Call, store: str, clouds: Clouds) -> None:
    asked, told = call.asked(), call.asked("told")
    assert asked.data["RecordingStatus"] == told.data["RecordingStatus"] == "completed"
    url = str(asked.data["RecordingUrl"])
    assert url == told.data["RecordingUrl"]
    assert re.search(rf"/{BUCKET}/{asked.data['RecordingSid']}\.wav$", url)
    samples = samples_of(clouds.get(url))
    assert len(samples) / 8000 == pytest.approx(1.0, abs=0.06)
    assert share_at(samples, 1200) > 0.9
    with pytest.raises(OSError, match="40"):
        call.engine.get(f"/f/{asked.data['RecordingSid']}")
    if store.startswith("gcp"):
        assert set(clouds.gcs.projects) == {GCP_PROJECT}
    if store == "gcp-client":
        assert clouds.gcs.exchanged > 0


WRONG = {
    "awsAccessKey": attributes(AWS, awsAccessKey="nobody"),
    "awsSecretKey": attributes(AWS, awsSecretKey="another-hush"),
    "awsBucketName": attributes(AWS, awsBucketName="nowhere"),
    "gcpAccessToken": attributes(GCP, gcpAccessToken="another-hush"),
    "gcpBucketName": attributes(GCP, gcpBucketName="nowhere"),
    "gcpRefreshToken": attributes(GCP_CLIENT, gcpRefreshToken="another-hush"),
    "gcpClientId": attributes(GCP_CLIENT, gcpClientId="another-hush"),
    "gcpClientSecret": attributes(GCP_CLIENT, gcpClientSecret="another-hush"),
    "azureAccountKey": attributes(AZURE, azureAccountKey=OTHER_KEY),
    "azureAccountName": attributes(AZURE, azureAccountName="nobody"),
    "azureContainerName": attributes(AZURE, azureContainerName="nowhere"),
    "azureSasToken": attributes(AZURE_SAS, azureSasToken=sas("cw", OTHER_KEY)),
}


@shows(*(f"Record.{name}" for name in WRONG))
@pytest.mark.parametrize("call", [record(store) for store in WRONG.values()], ids=list(WRONG), indirect=True)
def test_with_a_wrong_value_the_store_refuses_and_the_document_goes_on_at_once(call: Call) -> None:
    """The callback comes when the engine has given up, which is set to be after some seconds here."""
    failed = call.asked("failed")
    assert (failed.data["RecordingStatus"], failed.data["RecordingUrl"]) == ("failed", "")
    assert call.not_asked("next")
    assert call.ending.by == "them"
    assert len(call.heard) / 8000 < GIVEN_UP_S, "nobody waits for the end of the attempts"
    (told,) = call.line.wait_for("told", timeout_s=2 * GIVEN_UP_S)
    assert told.data["RecordingStatus"] == "failed"
    assert told.data["RecordingSid"] == failed.data["RecordingSid"]
