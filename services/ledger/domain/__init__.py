"""The rules of the ledger: the contract's states and arrows, deals and how time moves them, prices, double entry."""
