"""How the work goes: measures made from the events themselves, pure, fed after each commit."""
