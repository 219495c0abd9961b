"""De uma pasta de textos em português a um modelo que os continua, medido em textos que ele não leu."""

import lavra

# textos/ guarda o que o lavra lê: .txt, .md, PDF, Word, EPUB, HTML, tabelas.
resultado = lavra.up("textos", budget="4m", name="meu-modelo")
print(resultado.verdict)

modelo = lavra.load("meu-modelo")
print(modelo.generate("Era uma vez", max_tokens=40, temperature=0.8, seed=1))
print(f"{modelo.bits_per_byte('Era uma vez uma menina que morava perto do mar.'):.2f} bits por byte")
