"""Perguntas aos seus documentos, respondidas com a fonte de cada frase; o que eles não dizem, é dito."""

import lavra

lavra.index("documentos", name="contratos", languages=["pt"])

perguntas = ["Quando a ponte foi inaugurada?", "Quanto custou a ponte?"]
for pergunta, resposta in zip(perguntas, lavra.ask(perguntas, "contratos"), strict=True):
    print(pergunta)
    print(" ", resposta if not resposta.abstained else "Os documentos não dizem.")
    for fonte in resposta.citations:
        print(f"    {fonte.document}, linha {fonte.line}: {fonte.text}")
