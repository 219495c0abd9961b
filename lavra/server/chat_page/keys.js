// Keys that mean something everywhere on the page.

// Enter sends and Shift+Enter starts a line; Enter that ends a composed character (Japanese, accents) does neither.
export const sends = (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
