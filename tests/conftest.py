"""What holds for every test: hypothesis does not measure time, which tells more of the machine than of the code."""

import hypothesis

hypothesis.settings.register_profile("mesh", deadline=None)
hypothesis.settings.load_profile("mesh")
