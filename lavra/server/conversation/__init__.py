"""A conversation in a form common to all chat protocols: they turn requests into it, and answers come from it.

A protocol turns its request into a `ChatBody`, `start_chat` hands it to the engine, and `read_choices` or
`chat_events` give the model's output: text, calls of functions, and the end of each choice.
"""
