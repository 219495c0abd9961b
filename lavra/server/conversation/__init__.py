"""A conversation that goes on, in no protocol's words: what every chat protocol reads its request into and writes from.

A protocol turns its request into a `ChatBody`, `start_chat` hands it to the engine, and `read_choices` or
`chat_events` give what the model writes: text, calls of functions, and how each choice ends.
"""
