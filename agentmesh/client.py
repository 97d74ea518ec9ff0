"""Talk with a mesh from Python.

    from agentmesh.client import Client

    with Client("http://127.0.0.1:3370") as mesh:
        mesh.login("admin", "admin")
        job = mesh.create_job("hymn", {"topic": "the sea"})
        for event in mesh.watch(job.name):
            print(event.seq, event.kind, event.text)

`AsyncClient` has the same methods for asyncio.  Both speak gRPC with the mesh's one port.
"""

from agentmesh._client.access import TIERS, ApiKey, Session, User
from agentmesh._client.aio import DEFAULT_URL, AsyncClient
from agentmesh._client.applying import Step
from agentmesh._client.apps import App
from agentmesh._client.conversations import Conversation, Message
from agentmesh._client.definitions import Agent, Crew, Model, TaskDef, Tool
from agentmesh._client.errors import InvalidInputs, MeshError, NotAllowed, NotFound, NotSignedIn, Unreachable
from agentmesh._client.files import File
from agentmesh._client.plans import CrewPlan
from agentmesh._client.records import ENDED, BootStep, Event, Expose, Flow, Job, Tokens, Usage, readable
from agentmesh._client.requests import JOB_STATES
from agentmesh._client.retention import RetentionPolicy
from agentmesh._client.schedules import Firing, Schedule
from agentmesh._client.sync import Client
from agentmesh._client.tokens import MemoryTokens, TokenStore
from agentmesh._client.waits import Lock, Payment
from agentmesh._client.webhooks import Delivery, Webhook

__all__ = [
    "DEFAULT_URL",
    "ENDED",
    "JOB_STATES",
    "TIERS",
    "Agent",
    "ApiKey",
    "App",
    "AsyncClient",
    "BootStep",
    "Client",
    "Conversation",
    "Crew",
    "CrewPlan",
    "Delivery",
    "Event",
    "Expose",
    "File",
    "Firing",
    "Flow",
    "InvalidInputs",
    "Job",
    "Lock",
    "MemoryTokens",
    "MeshError",
    "Message",
    "Model",
    "NotAllowed",
    "NotFound",
    "NotSignedIn",
    "Payment",
    "RetentionPolicy",
    "Schedule",
    "Session",
    "Step",
    "TaskDef",
    "TokenStore",
    "Tokens",
    "Tool",
    "Unreachable",
    "Usage",
    "User",
    "Webhook",
    "readable",
]
