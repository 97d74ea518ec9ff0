"""What imports an app once and forks whoever uses it: the zygote, and how it begins.  A host starts it."""
