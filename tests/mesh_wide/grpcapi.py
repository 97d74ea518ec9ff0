"""Our typed API at the front door, as a gRPC client of any language sees it."""

import grpc
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc
from agentmesh_protos.runner.v1 import job_pb2, job_pb2_grpc

DEADLINE_S = 60


def login(url: str, name: str, password: str, ttl_s: int) -> str:
    """Return an access token that expires after `ttl_s` seconds."""
    with grpc.insecure_channel(url.removeprefix("http://")) as channel:
        request = auth_pb2.LoginRequest(login=name, password=password, access_ttl_s=ttl_s)
        return str(auth_pb2_grpc.AuthServiceStub(channel).Login(request, timeout=DEADLINE_S).access_token)


class Jobs:
    """`JobService` for the user of `token`."""

    def __init__(self, url: str, token: str) -> None:
        self._channel = grpc.insecure_channel(url.removeprefix("http://"))
        self._stub = job_pb2_grpc.JobServiceStub(self._channel)
        self._metadata = (("authorization", f"Bearer {token}"),)

    def __enter__(self) -> "Jobs":
        return self

    def __exit__(self, *exc: object) -> None:
        self._channel.close()

    def get(self, fid: str) -> job_pb2.Job:
        """Return a job."""
        request = job_pb2.GetJobRequest(name=f"jobs/{fid}")
        job: job_pb2.Job = self._stub.GetJob(request, timeout=DEADLINE_S, metadata=self._metadata)
        return job

    def cancel(self, fid: str) -> job_pb2.Job:
        """Cancel a job."""
        request = job_pb2.CancelJobRequest(name=f"jobs/{fid}")
        job: job_pb2.Job = self._stub.CancelJob(request, timeout=DEADLINE_S, metadata=self._metadata)
        return job

    def delete(self, fid: str) -> None:
        """Delete a job."""
        request = job_pb2.DeleteJobRequest(name=f"jobs/{fid}")
        self._stub.DeleteJob(request, timeout=DEADLINE_S, metadata=self._metadata)

    def events(self, fid: str) -> list[job_pb2.Event]:
        """Return the first page of a job's events."""
        request = job_pb2.ListEventsRequest(name=f"jobs/{fid}")
        return list(self._stub.ListEvents(request, timeout=DEADLINE_S, metadata=self._metadata).events)

    def watch(self, fid: str, after_seq: int = 0) -> list[job_pb2.Event]:
        """Return a job's events behind `after_seq` up to its end."""
        request = job_pb2.WatchJobRequest(name=f"jobs/{fid}", after_seq=after_seq)
        answers = self._stub.WatchJob(request, timeout=DEADLINE_S, metadata=self._metadata)
        return [event for answer in answers for event in answer.events]
