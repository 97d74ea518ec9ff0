"""Who may do what, over every method and route of the contract: nobody has to remember a new one."""
