/** All views there are, by their kind: build.mjs writes it, so that a new one needs no line elsewhere. */
declare module 'virtual:views' {
  type Get = import('./get.js').Get;
  type State = import('./state.js').State;
  type View = import('./state.js').View;
  const views: Readonly<Record<string, { mount(root: HTMLElement, get: Get, state: State): View }>>;
  export default views;
}
