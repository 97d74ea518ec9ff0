"""A real MCP server for tests, run as `python -m tests.engine.mcp_server`: it says where; one tool, `shout`."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("test")


@server.tool()
def shout(text: str) -> str:
    """Say a text loudly."""
    return text.upper() + "!"


if __name__ == "__main__":
    server.run("streamable-http", host="127.0.0.1", port=0)
