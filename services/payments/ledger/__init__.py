"""The embedded escrow ledger: what a Masumi payment service and a chain do, in one process.

For the payments service: `services.payments.ledger.ledger.opened(path, options)` yields a `Ledger`, whose methods
`now`, `price`, `request`, `find`, `resolve`, `changes`, `submit_result`, `authorize_refund` and `recover` are the
provider's port with the network in front; errors are `meshkit.errors` by class, with the HTTP status as `http` in
their metadata.
`config.LedgerConfig` has the settings (the service's `Config` inherits it: `config.ledger_options`).
"""
