"""What both apps know by heart, and what one of them looks up."""

HANDBOOK = "\n".join(
    f"Pump {number} takes {number * 3} litres, fits hoses of {number + 2} mm and costs {number + 200} euros."
    for number in range(1, 141)
)
NOTES = {
    "valve": "The valve is on the left side. It is turned by hand and is closed at a right angle.",
    "hose": "A hose is cut at a right angle, put on dry and held by two clips.",
    "filter": "The filter is rinsed with cold water every month and replaced every year.",
}
