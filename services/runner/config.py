"""What the runner reads from its environment."""

import pathlib
from typing import Literal, Self

import pydantic

from meshkit.net import tls
from meshkit.service import Addresses, Settings, socket_of


class Config(Settings):
    """Every field has a default that works on a laptop; the prefix is `AGENTMESH_`."""

    hosts_address: Addresses = socket_of("hosts")
    """Where the runner listens for the hosts of this machine: a door with nothing but their service behind it."""

    advertised_address: str = ""
    """Where hosts of other machines reach that door: `HOST:PORT`; empty for what it listens at."""

    hosts_tls_ca_file: str = ""
    """PEM of the CA by which hosts know that door, which is TLS then; its certificate is for runner.agentmesh.  Hosts
    have none: they show their badge."""

    hosts_tls_cert_file: str = ""
    """PEM of the door's certificate."""

    hosts_tls_key_file: str = ""
    """PEM of its key."""

    placement: Literal["local", "ray"] = "local"
    """Where hosts run: on this machine, or on a Ray cluster."""

    host_patience_s: float = pydantic.Field(default=0.0, ge=0)
    """How long a host goes on without a runner before it ends by itself; 0 for ever."""

    nursery: str = ""
    """The unix socket of what starts hosts, the nursery or the cluster's; empty starts one of our own."""

    replica_address: Addresses | Literal[""] = ""
    """Where other replicas of the runner call this one; empty for where it listens.  Hosts that hang here are reached
    by it."""

    heartbeat_s: float = 3.0
    """How often a host says that it is there."""

    lease_s: float = 15.0
    """How long a host may be silent or gone before its jobs end as lost."""

    install_timeout_s: float = 600.0
    """How long more it may take if it asks for packages: their installation is given as long."""

    load_timeout_s: float = 120.0
    """How long an app may take to load."""

    call_timeout_s: float = 60.0
    """How long an app may take to answer a request."""

    cancel_grace_s: float = 2.0
    """How long a cancelled job may clean up before it is killed."""

    engine: bool = True
    """Whether the app that runs agents and crews is served."""

    hashes: Literal["", "kodosumi"] = ""
    """How results are hashed: empty for MIP-004, `kodosumi` for what the seed notebook prints."""

    jobs_per_app: int = 64
    """Jobs of one app that run at once; more wait in line."""

    waiting_jobs_per_app: int = pydantic.Field(default=256, ge=0)
    """Jobs of one app that wait for a human in processes of their own, beside those that run; more count with these."""

    shared_jobs_per_app: int = 20_000
    """Jobs of one host that run at once where they share a process; more wait in line."""

    jobs_per_owner: int = pydantic.Field(default=10_000, ge=0)
    """Jobs of one owner that have not ended, waiting ones included; more are refused.  0 takes any number."""

    stored_bytes_per_owner: int = pydantic.Field(default=8 * 1024**3, ge=0)
    """What is kept of one owner, in bytes: jobs, logs, results, locks, conversations and memory; beyond it launches are
    refused, and a tenth beyond it what runs is ended.  0 takes any amount.
    """

    events_per_owner: int = pydantic.Field(default=20_000, ge=0)
    """Events a second that the jobs of one owner may send, each KiB counting as one; who is faster is held back.  0
    takes any number.
    """

    files_url: str = pydantic.Field(default="", repr=False)  # it may hold a password
    """Where files of jobs are kept, as fsspec names it: `s3://BUCKET/FOLDER`, `sftp://…`, `file:///FOLDER`; empty means
    `files` in `data_dir`, which then only one runner, or several that share that folder, may have."""

    files_options: str = pydantic.Field(default="", repr=False)
    """What is said to that storage beside the URL, as a JSON object: of `s3://` `{"key": "…", "secret": "…",
    "endpoint_url": "…"}`.
    """

    file_bytes_max: int = pydantic.Field(default=1024**3, ge=0)
    """What a file of a job may have, in bytes.  0 takes any number, up to 4 GiB."""

    file_bytes_per_job: int = pydantic.Field(default=4 * 1024**3, ge=0)
    """What the files of a job may have together, in bytes.  0 takes any number."""

    file_bytes_per_owner: int = pydantic.Field(default=8 * 1024**3, ge=0)
    """What the files of one owner may have together, in bytes, with those on their way; more are refused.  0 takes any
    number."""

    app_patience_s: float = 5.0
    """How long a launch waits for an app that is being restarted."""

    schedules_per_owner: int = pydantic.Field(default=200, ge=0)
    """Schedules that one owner may have; more are refused.  0 takes any number."""

    webhooks_per_owner: int = pydantic.Field(default=20, ge=0)
    """Webhooks that one owner may have; more are refused.  0 takes any number."""

    webhooks_private_endpoints: Literal["refuse", "allow"] = "refuse"
    """Whether webhooks may be at addresses that are not the Internet's: every user can then have the mesh call what
    only this machine and its network reach, and read how it answers."""

    @pydantic.model_validator(mode="after")
    def _all_files_or_none(self) -> Self:
        given = [bool(each) for each in (self.hosts_tls_ca_file, self.hosts_tls_cert_file, self.hosts_tls_key_file)]
        if any(given) and not all(given):
            raise ValueError("AGENTMESH_HOSTS_TLS_CA_FILE, …_CERT_FILE and …_KEY_FILE belong together: set all three")
        return self

    @property
    def hosts_tls(self) -> tls.Tls | None:
        """How the hosts' door is encrypted; None if it is not."""
        files = (self.hosts_tls_ca_file, self.hosts_tls_cert_file, self.hosts_tls_key_file)
        return tls.Tls(*map(pathlib.Path, files), is_mutual=False) if all(files) else None
