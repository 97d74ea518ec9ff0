"""`mesh.auth.v1.UserService`: the people who may sign in."""

from agentmesh_protos.auth.v1 import auth_pb2 as pb
from agentmesh_protos.auth.v1 import auth_pb2_grpc as pb_grpc
from google.protobuf import empty_pb2

from meshkit import names, paging
from meshkit.idempotency import ask
from meshkit.interceptors import Context
from services.auth import wire
from services.auth.live_sessions import LiveSessions
from services.auth.servicers.me import check_not_a_key, user_caller
from services.auth.users import ADMIN, Users


class UserServicer(pb_grpc.UserServiceServicer):
    """Keeps users.  `secret` seals the hashes of requests that carry a password."""

    def __init__(self, users: Users, live: LiveSessions, secret: bytes) -> None:
        self._users = users
        self._live = live
        self._secret = secret

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> pb.User:
        """Add a user, an active one unless the request says otherwise."""
        sent = request.user
        if sent.operator:
            check_not_a_key("make an operator")
        user = await self._users.add(
            login=sent.login,
            email=sent.email,
            password=sent.password,
            operator=sent.operator,
            tier=wire.tier_of(sent.tier),
            active=sent.active or not sent.HasField("active"),
            request=ask(request, self._secret),
        )
        return wire.user_pb(user)

    async def GetSelf(self, request: pb.GetSelfRequest, context: Context) -> pb.User:
        """Return the caller."""
        user_id, me = user_caller()
        user = await self._users.get(user_id)
        self._live.use(me.session)
        known = user.login == ADMIN and await self._users.has_default_password()
        return wire.user_pb(user, default_password=known)

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.User:
        """Return a user by id or login."""
        return wire.user_pb(await self._users.find(names.parse(request.name, "users")))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        """List users by login."""
        found = await paging.page(request, self._users.list, lambda user: user.login, "users")
        counts = await self._live.count([user.user_id for user in found.items])
        users = [wire.user_pb(user, sessions=counts.get(user.user_id, 0)) for user in found.items]
        return pb.ListUsersResponse(users=users, next_page_token=found.next_token)

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.User:
        """Change the fields named by the mask."""
        key = names.parse(request.user.name, "users", "user.name")
        change, password = wire.change_of(request)
        if password is not None:
            check_not_a_key("change a password")
        if change.operator:
            check_not_a_key("make an operator")
        return wire.user_pb(await self._users.update(key, change, password))

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> empty_pb2.Empty:
        """Delete a user."""
        await self._users.delete(names.parse(request.name, "users"))
        return empty_pb2.Empty()
