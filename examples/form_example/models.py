"""The six forms of the example."""

from kodosumi.core import forms as F

BUTTONS = (F.Submit("Submit"), F.Cancel("Cancel"))

COUNTRIES = [
    F.InputOption(name="at", label="Austria"),
    F.InputOption(name="de", label="Germany"),
    F.InputOption(name="ch", label="Switzerland"),
    F.InputOption(name="other", label="Another country"),
]

text_inputs = F.Model(
    F.Markdown("# Text Input Types\nEverything that is typed: text, passwords, addresses and numbers to call."),
    F.Break(),
    F.InputText(
        label="Username", name="username", required=True, placeholder="Enter your username (3-20 chars)", size=20
    ),
    F.InputPassword(
        label="Password",
        name="password",
        required=True,
        placeholder="Min 8 characters",
        min_length=8,
        max_length=100,
    ),
    F.InputEmail(label="Email Address", name="email", required=True, placeholder="user@example.com"),
    F.InputUrl(label="Website URL", name="website", placeholder="https://example.com"),
    F.InputTel(label="Phone Number", name="phone", placeholder="+1 (555) 123-4567"),
    F.InputSearch(label="Search", name="search", placeholder="What are you looking for?"),
    F.InputArea(label="About You", name="about", placeholder="A few lines", rows=4, max_length=500),
    *BUTTONS,
)

numeric_inputs = F.Model(
    F.Markdown("# Numeric Input Types\nNumbers, typed or slid."),
    F.Break(),
    F.InputNumber(label="Age", name="age", required=True, min_value=18, max_value=120, step=1, value=30),
    F.InputNumber(label="Price", name="price", min_value=0, max_value=10000, step=0.01, placeholder="9.99"),
    F.InputRange(label="Volume", name="volume", min_value=0, max_value=100, step=5, value=50),
    F.InputRange(label="Temperature", name="temperature", min_value=0, max_value=2, step=0.1, value=0.7),
    *BUTTONS,
)

datetime_inputs = F.Model(
    F.Markdown("# Date/Time Input Types\nPoints and spans of time."),
    F.Break(),
    F.InputDate(label="Date", name="date", required=True, min_date="2020-01-01", max_date="2099-12-31"),
    F.InputTime(label="Time", name="time", min_time="08:00", max_time="18:00"),
    F.InputDateTime(label="Date and Time", name="appointment", min_datetime="2020-01-01T00:00"),
    F.InputMonth(label="Month", name="month", min_month="2020-01", max_month="2099-12"),
    F.InputWeek(label="Week", name="week", min_week="2020-W01", max_week="2099-W52"),
    *BUTTONS,
)

selection_inputs = F.Model(
    F.Markdown("# Selection Input Types\nOne of many, or yes and no."),
    F.Break(),
    F.Select(label="Country", name="country", option=COUNTRIES, value="de"),
    F.InputRadio(
        label="Size",
        name="size",
        required=True,
        option=[
            F.InputOption(name="small", label="Small"),
            F.InputOption(name="medium", label="Medium"),
            F.InputOption(name="large", label="Large"),
        ],
        value="medium",
    ),
    F.Checkbox(label="Newsletter", name="newsletter", option="Send me news"),
    F.Checkbox(label="Terms", name="terms", option="I agree to the terms", value=False),
    *BUTTONS,
)

special_inputs = F.Model(
    F.Markdown("# Special Input Types\nColours, files, hidden values and things to read."),
    F.HR(),
    F.InputColor(label="Favourite Colour", name="color", value="#3366ff"),
    F.InputHidden(name="source", value="form-example"),
    F.InputFiles(label="Attachments", name="files", multiple=True),
    F.DisplayInfo(label="Note", text="Files are kept with the job."),
    F.HTML("<p>HTML goes in as it is.</p>"),
    *BUTTONS,
)

complete_form = F.Model(
    F.Markdown("# Complete Registration Form\nEverything together, as one would use it."),
    F.Break(),
    F.InputText(label="Full Name", name="full_name", required=True, placeholder="Ada Lovelace", size=80),
    F.InputEmail(label="Email Address", name="email", required=True, placeholder="user@example.com"),
    F.InputPassword(label="Password", name="password", required=True, min_length=8, max_length=100),
    F.InputPassword(label="Repeat Password", name="repeat", required=True, min_length=8, max_length=100),
    F.InputDate(label="Date of Birth", name="birthday", max_date="2020-12-31"),
    F.InputNumber(label="Years of Experience", name="experience", min_value=0, max_value=80, step=1),
    F.Select(label="Country", name="country", option=COUNTRIES),
    F.InputTel(label="Phone Number", name="phone", placeholder="+1 (555) 123-4567"),
    F.InputArea(label="Message", name="message", rows=5, max_length=1000),
    F.Checkbox(label="Terms", name="terms", option="I agree to the terms"),
    F.HR(),
    *BUTTONS,
)
