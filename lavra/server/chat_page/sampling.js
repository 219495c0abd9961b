// The settings of sampling: presets, and the default preset until a person chooses.

export const DRAWN = { temperature: null, top_p: null, top_k: null, min_p: null };
export const MOST_COMPLETED = 256; // tokens of a text where nobody sets them: a model that completes may know no end
export const PRESETS = {
  own: DRAWN,
  exact: { ...DRAWN, temperature: 0 },
  balanced: { ...DRAWN, temperature: 0.7, top_p: 0.95 },
  lively: { ...DRAWN, temperature: 1.1, min_p: 0.05 },
};

// A model whose folder names no way to draw is drawn at temperature 1 by the server, which small models write nonsense at.
export function presetOf(settings, model) {
  if (settings.preset) return settings.preset;
  const named = model.default_sampling_params || {};
  return model.retrieves || Object.keys(DRAWN).some((name) => name in named) ? "own" : "balanced";
}

// The settings in effect for a model: those of its preset where a person chose none.
export const settingsFor = (settings, model) => (settings.preset ? settings : { ...settings, ...PRESETS[presetOf(settings, model)] });

// Settings as OpenAI's fields; unset fields take the model's own values.
export function samplingFields(settings, model) {
  const given = settingsFor(settings, model);
  const names = [...Object.keys(DRAWN), "max_tokens", "seed"].filter((name) => given[name] !== null && given[name] !== undefined);
  return Object.fromEntries(names.map((name) => [name, Number(given[name])]));
}

// The seed of an answer: the person's, or one that is drawn here and kept with the answer, which can then be repeated.
export function seedFor(settings, model) {
  if (settings.seed !== null && settings.seed !== undefined) return settings.seed;
  const temperature = settingsFor(settings, model).temperature ?? model.default_sampling_params?.temperature ?? 1;
  return model.retrieves || temperature === 0 ? null : crypto.getRandomValues(new Uint32Array(1))[0];
}
