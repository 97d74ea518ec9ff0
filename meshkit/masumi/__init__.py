"""What sellers and buyers on Masumi must agree on to the byte: shared by who signs it and who checks it."""
